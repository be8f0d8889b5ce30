//! On what, and when.

/// Processor, cores, libraries, date: one line.
pub fn description() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let ifma = if cpuinfo.contains("avx512ifma") { "with" } else { "without" };
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    format!(
        "{date}; {}, {cores} cores, {ifma} AVX-512 IFMA; {}; medians, CPU time of one thread, in turns",
        model.unwrap_or("a processor without a name"),
        openssl::version::version()
    )
}

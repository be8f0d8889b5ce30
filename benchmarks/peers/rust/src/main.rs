//! `passes`: one `Package`, the serial number changed.

use std::io::{BufRead, Cursor};
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use cpu_time::ProcessTime;
use passes::resource::Type;
use passes::sign::{SignConfig, WWDR};
use passes::{Package, Pass};

fn main() {
    let fixture = std::env::args().nth(1).expect("the fixture's directory");
    let fixture = Path::new(&fixture);
    let pem = |name: &str| std::fs::read(fixture.join(name)).expect("a PEM file");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture.join("coupon.pass/pass.json")).expect("pass.json")).expect("JSON");
    // It reads dates in another notation than Apple's; a coupon does without.
    json.as_object_mut().expect("an object").remove("relevantDate");
    // And one data detector where Apple has a list of them.
    for field in json["coupon"]["backFields"].as_array_mut().expect("fields") {
        field.as_object_mut().expect("a field").remove("dataDetectorTypes");
    }
    let pass = Pass::from_json(&json.to_string()).expect("a pass");
    let mut package = Package::new(pass);
    for entry in std::fs::read_dir(fixture.join("coupon.pass")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Ok(kind) = Type::from_str(name) {
            package.add_resource(kind, std::fs::File::open(&path).expect("an image")).expect("an image");
        }
    }
    let wwdr = pem("wwdr.pem");
    let config = SignConfig::new(WWDR::Custom(&wwdr), &pem("certificate.pem"), &pem("key.pem"));
    package.add_certificates(config.expect("certificates"));
    let mut made = 0_u64;
    let mut one = || {
        made += 1;
        package.pass.config.serial_number = format!("pass-{made}");
        let mut out = Cursor::new(Vec::new());
        package.write(&mut out).expect("a package");
        out.into_inner()
    };
    std::fs::write(fixture.join("passes.pkpass"), one()).expect("a file");
    println!("{{\"ready\":true}}");
    for line in std::io::stdin().lock().lines() {
        let count: u32 = line.expect("a line").trim().parse().expect("a number");
        let (cpu, wall) = (ProcessTime::now(), Instant::now());
        for _ in 0..count {
            std::hint::black_box(one());
        }
        println!("{}", serde_json::json!({ "cpu": cpu.elapsed().as_secs_f64(), "wall": wall.elapsed().as_secs_f64() }));
    }
}

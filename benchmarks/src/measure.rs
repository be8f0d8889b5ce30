//! Measuring on a machine that others use too: CPU time, medians, and contenders that take turns.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// What is measured: its name and one operation.
pub struct Contender<'a> {
    /// For the table.
    pub name: &'a str,
    run: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// One operation under a name.
    pub fn new(name: &'a str, run: impl FnMut() + 'a) -> Self {
        Contender { name, run: Box::new(run) }
    }
}

/// Medians over the rounds, for one operation.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Of which contender.
    pub name: String,
    /// CPU time of this thread.
    pub cpu: Duration,
    /// Time on the wall.
    pub wall: Duration,
}

impl Measured {
    /// Operations in a second of CPU time.
    pub fn per_cpu_second(&self) -> f64 {
        1.0 / self.cpu.as_secs_f64()
    }
}

/// Lets the contenders take turns (A B C, A B C, …), `rounds` times for `slice` each, after a turn that warms up and
/// counts how many operations fill a slice. So what else the machine does meanwhile hits all of them alike.
pub fn in_turns(rounds: usize, slice: Duration, contenders: &mut [Contender<'_>]) -> Vec<Measured> {
    let counts: Vec<u32> = contenders.iter_mut().map(|contender| count_for(slice, contender)).collect();
    let mut taken = vec![Vec::with_capacity(rounds); contenders.len()];
    for _ in 0..rounds {
        for ((contender, count), taken) in contenders.iter_mut().zip(&counts).zip(&mut taken) {
            let (cpu, wall) = (ThreadTime::now(), Instant::now());
            for _ in 0..*count {
                (contender.run)();
            }
            taken.push((cpu.elapsed() / *count, wall.elapsed() / *count));
        }
    }
    let measured = contenders.iter().zip(taken).map(|(contender, taken)| Measured {
        name: contender.name.to_owned(),
        cpu: median(taken.iter().map(|(cpu, _)| *cpu).collect()),
        wall: median(taken.iter().map(|(_, wall)| *wall).collect()),
    });
    measured.collect()
}

fn count_for(slice: Duration, contender: &mut Contender<'_>) -> u32 {
    let mut count = 1_u32;
    loop {
        let begun = ThreadTime::now();
        for _ in 0..count {
            (contender.run)();
        }
        let taken = begun.elapsed();
        if taken * 2 >= slice || count >= 1 << 24 {
            let per_operation = (taken / count).max(Duration::from_nanos(1));
            return u32::try_from(slice.as_nanos() / per_operation.as_nanos()).unwrap_or(u32::MAX).max(1);
        }
        count *= 2;
    }
}

/// The middle one; of an even number the greater of the two in the middle.
pub fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

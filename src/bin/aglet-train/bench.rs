//! `aglet-train bench`: times the step of `fit` for tests/benches/train_step.py. Each line of standard
//! input asks for a step, whose seconds and loss are answered; at the end the peak memory is.

use std::io::BufRead as _;

use aglet::train::net::fused::Precision;
use aglet::train::tools::bench::{self, Bench, Shape};
use clap::Args;

#[derive(Args)]
pub struct BenchArgs {
    #[arg(long, value_enum)]
    shape: Shape,
    /// As the recipe's training.precision
    #[arg(long)]
    bf16: bool,
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let precision = if args.bf16 {
        Precision::Bf16
    } else {
        Precision::F32
    };
    let mut bench = Bench::new(args.shape, precision);
    println!("ready {}", bench.parameters());
    for line in std::io::stdin().lock().lines() {
        line?;
        let (took, loss) = bench.step();
        println!("{} {loss}", took.as_secs_f64());
    }
    println!("peak {}", bench::peak_memory());
    Ok(())
}

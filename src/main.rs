//! The program `interdict`: what it can be told stands in `interdict::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    interdict::cli::main()
}

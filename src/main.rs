//! The program `interdict`: what it can be told stands in `interdict::cli`.

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::give_back_at_once();
    interdict::cli::main()
}

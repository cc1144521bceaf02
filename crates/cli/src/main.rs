//! The program `evenfold`.

use std::process::ExitCode;

fn main() -> ExitCode {
    evenfold_cli::main()
}

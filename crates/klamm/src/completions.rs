//! `klamm completions`: scripts that complete klamm's commands and options in a shell.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  klamm completions bash > ~/.local/share/bash-completion/completions/klamm
  klamm completions zsh > \"${fpath[1]}/_klamm\"
  klamm completions fish > ~/.config/fish/completions/klamm.fish";

/// Print a shell's completion script.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell the script is for
    shell: SupportedShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SupportedShell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let shell = match self.shell {
            SupportedShell::Bash => Shell::Bash,
            SupportedShell::Zsh => Shell::Zsh,
            SupportedShell::Fish => Shell::Fish,
        };
        // In memory first: the generator panics where its writer fails, and a closed pipe is no bug.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "klamm", &mut script);
        let mut output = Output::stdout();
        output.bytes(&script)?;
        output.flush()
    }
}

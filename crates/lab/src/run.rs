//! Running the field's own tools: `ip`, `nft`, `ethtool`, `ss`. They are the interface that an operator would use and check with.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::{Error, Result, leftover};

/// Runs a command to its end and returns what it printed.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be started, [`Error::Command`] with its standard error if it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = marked(command).stdin(Stdio::null()).output().map_err(Error::io(format!("run `{line}`")))?;
    check(line, output)
}

/// Runs a command to its end with `input` on its standard input.
///
/// # Errors
///
/// As [`output`].
pub fn fed(command: &mut Command, input: &str) -> Result<String> {
    let line = line_of(command);
    let failed = || Error::io(format!("run `{line}`"));
    marked(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends early closes its end; its own message then says more than the broken pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed())?;
    check(line, output)
}

/// Says whose it is: a tool may outlive a lab that is killed, and finish what it was asked for after the lab was cleaned up.
fn marked(command: &mut Command) -> &mut Command {
    command.env(leftover::MARK, leftover::own_id())
}

/// The command line as one would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn check(command: String, output: Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command, status: output.status.to_string(), stderr })
}

//! What the text is written to: how wide it is, and whether it shows colours.

use std::io::IsTerminal;

/// The narrowest and the widest that text is laid out for: shorter lines cannot hold a table, longer ones are hard to read.
pub const COLUMNS: std::ops::RangeInclusive<usize> = 80..=140;

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub columns: usize,
    /// Whether colours are shown.
    pub colours: bool,
}

impl Screen {
    /// Standard output as it is: `COLUMNS` if that is set, else the terminal's width, else 80. Colours only on a terminal, and not where
    /// `NO_COLOR` (no-color.org) or `TERM=dumb` says so.
    pub fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns =
            set("COLUMNS").and_then(|columns| columns.parse().ok()).or_else(|| terminal.then(columns).flatten());
        let colours = terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
        Self { columns: fitting(columns.unwrap_or(0)), colours }
    }

    /// Something to be noticed: a heading.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something that went wrong.
    pub fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// Something to look at.
    pub fn doubtful(self, text: &str) -> String {
        self.with("1;33", text)
    }

    /// Something that is well.
    pub fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn fitting(columns: usize) -> usize {
    columns.clamp(*COLUMNS.start(), *COLUMNS.end())
}

/// The width of the terminal on standard output.
fn columns() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes at most a winsize, to which the pointer is valid.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_wide_terminals_get_what_can_be_read() {
        assert_eq!([0, 40, 100, 500].map(fitting), [80, 80, 100, 140]);
    }

    #[test]
    fn without_colours_nothing_is_added() {
        let plain = Screen { columns: 80, colours: false };
        assert_eq!([plain.bold("x"), plain.bad("x"), plain.good("x")], ["x", "x", "x"]);
        let colourful = Screen { colours: true, ..plain };
        assert_eq!(colourful.bad("x"), "\x1b[1;31mx\x1b[0m");
    }
}

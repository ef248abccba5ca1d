//! Text in columns: how wide it is, where its lines may break, and tables that fit.
//!
//! A Chinese character or kana takes two columns of a terminal (UAX #11), and Japanese breaks nearly anywhere but not before a full stop
//! (JIS X 4051, kinsoku). Everything here counts in columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::words::format::NARROW;

/// Marks that begin no line.
const NEVER_FIRST: &str = "、。，．・：；？！）］｝」』】〉》〕’”ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々％%)]},.:;!?/";
/// Marks that end no line.
const NEVER_LAST: &str = "（［｛「『【〈《〔‘“([{/";

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text and blanks behind it, so that it takes this many columns.
pub fn pad(text: &str, columns: usize) -> String {
    text.to_owned() + &" ".repeat(columns.saturating_sub(width(text)))
}

/// Blanks before a text, so that it takes this many columns.
pub fn pad_left(text: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(width(text))) + text
}

/// What stays together on a line, and whether a blank is before it.
struct Piece {
    text: String,
    blank: bool,
}

/// Whether a line may end between these two.
fn may_break(before: char, after: char) -> bool {
    let wide = |letter: char| letter.width().unwrap_or(0) == 2;
    let number_and_unit = before.is_ascii_digit() && wide(after);
    (wide(before) || wide(after)) && !number_and_unit && !NEVER_FIRST.contains(after) && !NEVER_LAST.contains(before)
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // A blank that holds together (between a number and its unit) is no place to break.
    let words = text.split(|letter: char| letter.is_whitespace() && letter != NARROW).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        let mut piece = Piece { text: String::new(), blank: at > 0 };
        let mut quoted = false;
        for letter in word.chars() {
            let breaks = piece.text.chars().next_back().is_some_and(|before| may_break(before, letter));
            // A mark of code belongs to the code: it opens behind a break, and closes before one.
            let closes = letter == '`' && quoted;
            let behind_opening = piece.text.ends_with('`') && quoted;
            if breaks && !closes && !behind_opening {
                pieces.push(std::mem::replace(&mut piece, Piece { text: String::new(), blank: false }));
            }
            quoted ^= letter == '`';
            piece.text.push(letter);
        }
        pieces.push(piece);
    }
    pieces
}

/// The text in lines of at most so many columns, unless one word is longer.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in pieces(text) {
        let blank = usize::from(piece.blank && !line.is_empty());
        if !line.is_empty() && width(&line) + blank + width(&piece.text) > columns {
            lines.push(std::mem::take(&mut line));
        } else if blank == 1 {
            line.push(' ');
        }
        line += &piece.text;
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// The text in lines behind `start`; further lines are indented as far as it reaches.
pub fn behind(start: &str, text: &str, columns: usize) -> String {
    let indent = width(start);
    let lines = wrap(text, columns.saturating_sub(indent).max(20));
    let blanks = " ".repeat(indent);
    let begin = |at: usize| if at == 0 { start } else { &blanks };
    lines.iter().enumerate().map(|(at, line)| (begin(at).to_owned() + line).trim_end().to_owned() + "\n").collect()
}

/// A table: what its columns are called, whether they are numbers (written to the right), and rows of as many cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The columns' names.
    pub head: Vec<String>,
    /// Whether a column holds numbers.
    pub numbers: Vec<bool>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// Between two columns.
const BETWEEN: usize = 2;
/// No column is made narrower than this.
const NARROWEST: usize = 8;

impl Table {
    /// The table in lines of at most so many columns, as far as its words allow: cells of texts are wrapped, numbers never are.
    pub fn render(&self, columns: usize) -> String {
        let widths = self.widths(columns);
        let head = self.row(&self.head, &widths);
        let rows: String = self.rows.iter().map(|row| self.row(row, &widths)).collect();
        head + &rows
    }

    fn widths(&self, columns: usize) -> Vec<usize> {
        // How wide a column would like to be; below, the widest texts give way until all fit.
        let cells = |at: usize| self.rows.iter().filter_map(move |row| Some(width(row.get(at)?))).max().unwrap_or(0);
        let head = |at: usize| longest_piece(&self.head[at]);
        let mut widths: Vec<usize> = (0..self.head.len()).map(|at| cells(at).max(head(at))).collect();
        loop {
            let whole = widths.iter().sum::<usize>() + BETWEEN * widths.len().saturating_sub(1);
            let widest = (0..widths.len()).filter(|at| !self.numbers[*at] && widths[*at] > NARROWEST);
            match widest.max_by_key(|at| widths[*at]) {
                Some(at) if whole > columns => widths[at] -= 1,
                _ => return widths,
            }
        }
    }

    fn row(&self, cells: &[String], widths: &[usize]) -> String {
        let mut wrapped: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
        let mut text = String::new();
        // A long name has a line of its own, so that the columns stay where they are.
        if wrapped.first().and_then(|lines| lines.first()).is_some_and(|line| width(line) > widths[0]) {
            text += &(wrapped[0].remove(0) + "\n");
        }
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut out = String::new();
            for (at, cell) in wrapped.iter().enumerate() {
                let cell = cell.get(line).map_or("", String::as_str);
                out += &if self.numbers[at] { pad_left(cell, widths[at]) } else { pad(cell, widths[at]) };
                out += &" ".repeat(BETWEEN);
            }
            text += out.trim_end();
            text.push('\n');
        }
        text
    }
}

fn longest_piece(text: &str) -> usize {
    let mut longest = 0;
    let mut sum = 0;
    // Pieces of Japanese are single characters: a heading of one word of up to four is kept whole.
    for piece in pieces(text) {
        if piece.blank {
            sum = 0;
        }
        sum += width(&piece.text);
        longest = longest.max(sum.min(8)).max(width(&piece.text));
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_breaks_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("of 8\u{a0}GiB", 4), ["of", "8\u{a0}GiB"], "a number stays with its unit");
        assert_eq!(wrap("anextremelylongword x", 5), ["anextremelylongword", "x"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn japanese_breaks_anywhere_but_where_it_must_not() {
        assert_eq!(wrap("接続要求が続きます。", 18), ["接続要求が続きま", "す。"]);
        for columns in 8..40 {
            let text =
                "原因は「SYNフラッド」です。30秒間に1,200件の要求が`net.core.somaxconn`の上限（128）を超えました。";
            let lines = wrap(text, columns);
            assert_eq!(lines.concat(), text, "nothing is lost or added");
            for line in &lines {
                assert!(!line.starts_with(|first| NEVER_FIRST.contains(first)), "{columns}: {line}");
                assert!(!line.ends_with(|last| NEVER_LAST.contains(last)), "{columns}: {line}");
                assert!(width(line) <= columns || line.contains("somaxconn"), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn code_keeps_its_marks() {
        for columns in 8..30 {
            for line in wrap("設定は`apply`で変更します", columns) {
                assert_eq!(line.matches('`').count() % 2, 0, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn further_lines_are_indented_by_columns_not_letters() {
        assert_eq!(behind("原因: ", "aaaaaaaaaa bbbbbbbbbb cccccc", 28), "原因: aaaaaaaaaa bbbbbbbbbb\n      cccccc\n");
    }

    fn table() -> Table {
        Table {
            head: vec!["リスナー".into(), "上限を決めるもの".into(), "件".into()],
            numbers: vec![false, false, true],
            rows: vec![
                vec!["[::]:443".into(), "アプリケーションのバックログ".into(), "1,280".into()],
                vec!["0.0.0.0:80".into(), "net.core.somaxconn".into(), "7".into()],
            ],
        }
    }

    #[test]
    fn columns_are_aligned_with_wide_letters() {
        let text = table().render(80);
        let ends: Vec<usize> = text.lines().map(width).collect();
        assert_eq!(ends, [47, 47, 47], "{text}");
    }

    #[test]
    fn a_table_that_does_not_fit_wraps_its_texts() {
        let text = table().render(40);
        assert!(text.lines().all(|line| width(line) <= 40), "{text}");
        assert!(text.lines().count() > 3 && text.contains("net.core.somaxconn"), "{text}");
    }
}

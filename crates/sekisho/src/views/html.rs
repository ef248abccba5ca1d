//! The page as one file of HTML: nothing is fetched from anywhere, nothing is run, and it reads on a phone, on a desk and on paper, by day
//! and by night.
//!
//! Logs say what strangers sent, so every text is escaped, and the file itself forbids scripts and fetching (Content-Security-Policy).

use super::chart::{Chart, Row};
use super::layout::Table;
use super::page::{Body, Finding, Page, Part, Point, Tone};
use crate::words::Words;

const STYLE: &str = include_str!("report.css");

/// The page; `made` is the last line.
pub fn render(page: &Page, made: &str, words: &Words) -> String {
    let about: String = page.about.iter().map(|line| format!("<p class=\"quiet\">{}</p>\n", rich(line))).collect();
    let parts: String = page.parts.iter().map(part).collect();
    let (class, tone) = tone(page.tone);
    format!(
        "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}: {plain}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<div class=\"banner {class}\">\n<p class=\"tone\">{label}: {tone}</p>\n\
         <p class=\"verdict\">{verdict}</p>\n</div>\n{about}{parts}\
         <footer>{made}</footer>\n</main>\n</body>\n</html>\n",
        lang = words.lang().tag(),
        title = escape(&page.title),
        plain = escape(&page.verdict.replace('`', "")),
        label = escape(&words.word("head-verdict")),
        tone = escape(&words.word(tone)),
        verdict = rich(&page.verdict),
        made = escape(made),
    )
}

const fn tone(tone: Tone) -> (&'static str, &'static str) {
    match tone {
        Tone::Well => ("well", "tone-well"),
        Tone::Bad => ("bad", "tone-bad"),
        Tone::Unknown => ("unknown", "tone-unknown"),
    }
}

/// Text that is shown as it is.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // What is written to logs may hold anything; HTML may not.
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Text in which backticks stand around code. One without its counterpart is shown.
fn rich(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let even = parts.len() % 2 == 0;
    let mut html = String::new();
    for (at, part) in parts.iter().enumerate() {
        let alone = even && at + 1 == parts.len();
        if alone {
            html.push('`');
            html += &escape(part);
        } else if at % 2 == 1 {
            html += &format!("<code>{}</code>", escape(part));
        } else {
            html += &escape(part);
        }
    }
    html
}

fn part(part: &Part) -> String {
    let intro =
        if part.intro.is_empty() { String::new() } else { format!("<p class=\"quiet\">{}</p>\n", rich(&part.intro)) };
    let body = match &part.body {
        Body::Points(points) => list("ul", points),
        Body::Steps(points) => list("ol", points),
        Body::Findings(findings) => findings.iter().map(finding).collect(),
        Body::Chart(chart) => figure(chart),
        Body::Table(table, points) => {
            self::table(table) + &if points.is_empty() { String::new() } else { list("ul", points) }
        }
    };
    let (name, heading) = (part.name, escape(&part.heading));
    format!("<section id=\"{name}\">\n<h2>{heading}</h2>\n{intro}{body}</section>\n")
}

fn list(tag: &str, points: &[Point]) -> String {
    // A single point is a paragraph, unless it is a step to take.
    if let ([point], "ul") = (points, tag) {
        return format!("<p>{}</p>\n{}", rich(&point.text), commands(point));
    }
    let items: String =
        points.iter().map(|point| format!("<li>{}{}</li>\n", rich(&point.text), commands(point))).collect();
    format!("<{tag}>\n{items}</{tag}>\n")
}

fn commands(point: &Point) -> String {
    if point.commands.is_empty() {
        return String::new();
    }
    format!(
        "<pre><code>{}</code></pre>\n",
        point.commands.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n")
    )
}

fn texts(class: &str, texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let items: String = texts.iter().map(|text| format!("<li>{}</li>\n", rich(text))).collect();
    format!("<ul{class}>\n{items}</ul>\n")
}

fn finding(finding: &Finding) -> String {
    let notes: Vec<String> = finding.notes.iter().map(|note| escape(note)).collect();
    let meaning =
        if finding.meaning.is_empty() { String::new() } else { format!("<p>{}</p>\n", rich(&finding.meaning)) };
    let refuted = if finding.refuted.is_empty() {
        String::new()
    } else {
        let heading = escape(&finding.refuted_heading);
        format!("<div class=\"refuted\">{heading}\n{}</div>\n", texts("", &finding.refuted))
    };
    format!(
        "<article>\n<h3>{}</h3>\n<p class=\"notes\">{}</p>\n{meaning}{}{refuted}</article>\n",
        rich(&finding.title),
        notes.join(" · "),
        texts("", &finding.evidence)
    )
}

fn table(table: &Table) -> String {
    let class = |at: usize| if table.numbers[at] { " class=\"number\"" } else { "" };
    let head: String = (table.head.iter().enumerate())
        .map(|(at, name)| format!("<th scope=\"col\"{}>{}</th>", class(at), escape(name)))
        .collect();
    let cell = |(at, cell): (usize, &String)| {
        format!("<td{} data-label=\"{}\">{}</td>", class(at), escape(&table.head[at]), rich(cell))
    };
    let rows: String = table
        .rows
        .iter()
        .map(|row| format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>()))
        .collect();
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

fn figure(chart: &Chart) -> String {
    let letters = chart.marks.iter().map(|mark| (mark.at, mark.letter.to_string()));
    let rows: String = chart.rows.iter().map(|row| self::row(row, chart)).collect();
    let events: String = chart
        .marks
        .iter()
        .map(|mark| {
            let texts: String = mark.texts.iter().map(|text| format!("<div>{}</div>", rich(text))).collect();
            format!("<li><b>{}</b><div>{texts}</div></li>\n", mark.letter)
        })
        .collect();
    let events = if events.is_empty() { events } else { format!("<ul class=\"events\">\n{events}</ul>\n") };
    format!(
        "<div class=\"chart\">\n{}{rows}{}</div>\n{events}",
        axis("axis letters", letters),
        axis("axis", chart.ticks.iter().cloned())
    )
}

fn row(row: &Row, chart: &Chart) -> String {
    let svg = row.svg(&chart.marks, &chart.shades, &escape(&row.summary));
    let (label, peak) = (escape(&row.label), escape(&row.peak));
    format!("<figure class=\"row\"><figcaption><span>{label}</span><b>{peak}</b></figcaption>{svg}</figure>\n")
}

/// Texts at their places; those at the edges are kept inside.
fn axis(class: &str, texts: impl Iterator<Item = (f64, String)>) -> String {
    let place = |(at, text): (f64, String)| {
        format!("<span style=\"left:{:.2}%\">{}</span>", (at * 100.0).clamp(3.0, 97.0), escape(&text))
    };
    let spans: String = texts.map(place).collect();
    if spans.is_empty() { spans } else { format!("<div class=\"{class}\" aria-hidden=\"true\">{spans}</div>\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_sent_is_shown_and_not_obeyed() {
        assert_eq!(escape("<b a='\"'>&\u{7}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
        assert_eq!(rich("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(rich("a `b` c`d"), "a <code>b</code> c`d");
    }
}

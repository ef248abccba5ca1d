//! Which languages there are, and which one is wanted.

use clap::ValueEnum;
use unic_langid::LanguageIdentifier;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// English.
    En,
    /// 日本語.
    Ja,
}

/// The sentences of one language: the files' names and texts.
macro_rules! files {
    ($lang:literal) => {
        &[
            ("page.ftl", include_str!(concat!("../../words/", $lang, "/page.ftl"))),
            ("verdict.ftl", include_str!(concat!("../../words/", $lang, "/verdict.ftl"))),
            ("causes.ftl", include_str!(concat!("../../words/", $lang, "/causes.ftl"))),
            ("evidence.ftl", include_str!(concat!("../../words/", $lang, "/evidence.ftl"))),
            ("actions.ftl", include_str!(concat!("../../words/", $lang, "/actions.ftl"))),
            ("record.ftl", include_str!(concat!("../../words/", $lang, "/record.ftl"))),
        ]
    };
}

impl Lang {
    /// All of them; English first, which stands in for the others.
    pub const ALL: [Self; 2] = [Self::En, Self::Ja];

    /// Its tag, as in `<html lang>`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ja => "ja",
        }
    }

    /// For Fluent's rules of plural.
    pub fn identifier(self) -> LanguageIdentifier {
        // The tags are right; the default (undetermined) has English's rules.
        self.tag().parse().unwrap_or_default()
    }

    /// Its sentences.
    pub const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::En => files!("en"),
            Self::Ja => files!("ja"),
        }
    }

    /// The one that is asked for, else that of the environment, else English.
    pub fn wanted(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(|| Self::of_environment(|name| std::env::var(name).ok()))
    }

    /// By the first of these variables that is set (POSIX, Environment Variables, 8.2): `LC_ALL`, `LC_MESSAGES`, `LANG`.
    fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
        let tag = set.unwrap_or_default();
        let language = tag.split(['_', '.', '@', '-']).next().unwrap_or_default().to_ascii_lowercase();
        Self::ALL.into_iter().find(|lang| lang.tag() == language).unwrap_or(Self::En)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Lang {
        Lang::of_environment(|name| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        assert_eq!(of(&[]), Lang::En);
        assert_eq!(of(&[("LANG", "ja_JP.UTF-8")]), Lang::Ja);
        assert_eq!(of(&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(of(&[("LANG", "C.UTF-8"), ("LC_ALL", ""), ("LC_MESSAGES", "ja")]), Lang::Ja);
        assert_eq!(of(&[("LANG", "fr_FR.UTF-8")]), Lang::En, "a language that is not there");
    }
}

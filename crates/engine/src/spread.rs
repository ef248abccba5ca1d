//! How a flood is spread: scattered over many sources, or concentrated in few networks. Pure; the daemon and `status` share it.
//!
//! The datapath samples one of 32 SYNs that met a queue above its calm mark, or a limit: how many distinct sources these came from, and
//! for networks that make a large part of them, how large a part at least. Scattered floods are answered by asking for proof, which is
//! what gate does anyhow; of a concentrated one the networks that make it can be limited or blocked.

/// Fewer samples say nothing.
pub const SAMPLES_MIN: u64 = 100;
/// A network that makes this part of the samples is named.
const NAMED: f64 = 0.05;
/// Named networks that make this part together make a flood concentrated.
const CONCENTRATED: f64 = 0.5;
/// A source that makes this part of its network's samples stands for it: its neighbours are spared.
const ALONE: f64 = 0.8;

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'v> {
    /// SYNs.
    pub asked: u64,
    /// Of them looked at.
    pub samples: u64,
    /// Their distinct sources, about.
    pub distinct: u64,
    /// For each network that stands out, the largest first: at least so many of the samples.
    pub networks: &'v [u64],
}

/// How a flood is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Too little was seen to say.
    Quiet,
    /// Over many sources, none of which stands out.
    Scattered,
    /// Half of it or more comes from the first so many of the networks.
    Concentrated(usize),
}

impl Shape {
    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Scattered => "scattered",
            Self::Concentrated(_) => "concentrated",
        }
    }
}

/// The part that `votes` are of the samples, from 0 to 1.
pub fn part(votes: u64, samples: u64) -> f64 {
    votes as f64 / samples.max(1) as f64
}

/// Says how a flood is spread.
pub fn judge(counted: Counted<'_>) -> Shape {
    if counted.samples < SAMPLES_MIN {
        return Shape::Quiet;
    }
    let named = counted.networks.iter().take_while(|votes| part(**votes, counted.samples) >= NAMED);
    let (many, votes) = named.fold((0, 0), |(many, sum), votes| (many + 1, sum + votes));
    if part(votes, counted.samples) >= CONCENTRATED { Shape::Concentrated(many) } else { Shape::Scattered }
}

/// Whether one source makes so much of its network that it alone is meant.
pub fn stands_for(source: u64, network: u64) -> bool {
    part(source, network) >= ALONE
}

/// What the judgement rests on, and what would prove it wrong. `names` are those of the networks, in their order.
pub fn evidence(counted: Counted<'_>, names: &[String]) -> String {
    let Counted { asked, samples, distinct, networks } = counted;
    let seen =
        format!("{samples} of {asked} SYNs that met a filling queue or a limit were looked at: {distinct} sources");
    match judge(counted) {
        Shape::Quiet => format!("{seen}; fewer than {SAMPLES_MIN} samples say nothing"),
        Shape::Scattered => {
            let most = networks.first().map_or(0.0, |votes| part(*votes, samples) * 100.0);
            format!("{seen}, and no few networks make half of them (the largest {most:.0}%): they are asked for proof")
        }
        Shape::Concentrated(many) => {
            let words: Vec<String> = names
                .iter()
                .zip(networks)
                .take(many)
                .map(|(name, votes)| format!("{name} made {:.0}%", part(*votes, samples) * 100.0))
                .collect();
            format!("{seen}; {}", words.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(samples: u64, networks: &[u64]) -> Counted<'_> {
        Counted { asked: samples * 32, samples, distinct: samples / 2, networks }
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(judge(counted(99, &[99])), Shape::Quiet);
    }

    #[test]
    fn a_flood_is_concentrated_when_few_networks_make_half_of_it() {
        assert_eq!(judge(counted(1000, &[])), Shape::Scattered);
        assert_eq!(judge(counted(1000, &[300, 100, 40, 40, 40])), Shape::Scattered, "40 are not named");
        assert_eq!(judge(counted(1000, &[300, 200, 40])), Shape::Concentrated(2));
        assert_eq!(judge(counted(1000, &[50; 10])), Shape::Concentrated(10));
        assert_eq!(judge(counted(1000, &[990])), Shape::Concentrated(1));
    }

    #[test]
    fn the_evidence_names_networks_and_numbers() {
        let names = ["198.18.7.0/24".to_owned(), "2001:db8:c::/56".to_owned()];
        let words = evidence(counted(1000, &[700, 100]), &names);
        assert!(words.contains("198.18.7.0/24 made 70%") && words.contains("1000 of 32000"), "{words}");
        let words = evidence(counted(1000, &[10]), &names);
        assert!(words.contains("the largest 1%") && !words.contains("198.18"), "{words}");
    }

    #[test]
    fn one_source_may_stand_for_its_network() {
        assert!(stands_for(90, 100) && !stands_for(50, 100));
    }
}

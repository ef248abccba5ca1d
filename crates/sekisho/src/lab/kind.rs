//! The kinds of floods that `--kind` of `lab try` and `lab drill` takes.

use clap::ValueEnum;
use sekisho_lab::flood::Kind;

/// [`Kind`] as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// SYNs as Linux sends them.
    Syn,
    /// SYNs as Windows sends them.
    WindowsSyn,
    /// SYNs as macOS and iOS send them.
    AppleSyn,
    /// SYNs without options, as common tools send them.
    BareSyn,
    /// SYNs of all four, mixed.
    AnySyn,
    /// ACKs that belong to nothing.
    Ack,
    /// SYN-ACKs that belong to nothing.
    SynAck,
    /// RSTs that belong to nothing.
    Rst,
    /// FINs that belong to nothing.
    Fin,
    /// Fragments whose rest never comes.
    Fragments,
    /// What no TCP sends: flags that contradict each other, lengths that are wrong.
    Malformed,
    /// SYNs to 32 addresses and 32 ports of the server.
    Carpet,
    /// All at once, an eighth each: SYNs of the four stacks, ACKs, SYN-ACKs, RSTs, FINs, fragments, malformed ones, a carpet.
    Mixed,
}

impl From<KindArg> for Kind {
    fn from(argument: KindArg) -> Self {
        match argument {
            KindArg::Syn => Self::Syn,
            KindArg::WindowsSyn => Self::WindowsSyn,
            KindArg::AppleSyn => Self::AppleSyn,
            KindArg::BareSyn => Self::BareSyn,
            KindArg::AnySyn => Self::AnySyn,
            KindArg::Ack => Self::Ack,
            KindArg::SynAck => Self::SynAck,
            KindArg::Rst => Self::Rst,
            KindArg::Fin => Self::Fin,
            KindArg::Fragments => Self::Fragments,
            KindArg::Malformed => Self::Malformed,
            KindArg::Carpet => Self::Carpet,
            KindArg::Mixed => Self::Mixed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_kind_of_its_own() {
        let kinds: Vec<Kind> = KindArg::value_variants().iter().map(|argument| (*argument).into()).collect();
        for (n, kind) in kinds.iter().enumerate() {
            assert!(!kinds[..n].contains(kind), "{kind:?} has two names");
        }
    }
}

//! What the configuration comes to for policy: the chosen files with those for ways round, and the operator's choices.

use super::types::{Config, WaysRound};
use crate::feed::Selection;
use crate::policy::{Apply, Demand, Operator, OperatorTreatment, Phase, Sink, TreatmentChoice};

/// The order that withholds ways round, and the catalogue that it is about.
const WAYS_ROUND: &str = "ways-round";

impl Config {
    /// Returns which catalogues and orders are chosen.
    pub fn selection(&self) -> Selection {
        let mut selection =
            Selection { catalogues: self.policy.catalogues.clone(), orders: self.policy.orders.clone() };
        if self.ways_round.withholds_names() {
            let add = |items: &mut Vec<String>, item: &str| {
                if !items.iter().any(|chosen| chosen == item) {
                    items.push(item.to_owned());
                }
            };
            add(&mut selection.catalogues, &self.ways_round.catalogue);
            add(&mut selection.orders, WAYS_ROUND);
        }
        selection
    }

    /// Returns the operator's choices. What is switched off of the ways round is only noted; a treatment that the
    /// configuration writes out counts before that.
    pub fn operator(&self) -> Operator {
        let mut operator = self.policy.operator.clone();
        if self.ways_round.withholds_names() {
            let off = self.ways_round.services().filter(|(_, on)| !on).map(|(service, _)| OperatorTreatment {
                order: WAYS_ROUND.to_owned(),
                service: service.to_owned(),
                choice: TreatmentChoice::Noted,
            });
            operator.treatments.splice(0..0, off);
            // It is the operator's own measure whatever else binds the network, and clients are told so.
            let everyone = Apply {
                order: WAYS_ROUND.to_owned(),
                groups: Vec::new(),
                phase: Phase::Enforce,
                demand: None,
                sink: None,
            };
            operator.applies.insert(0, everyone);
            for apply in operator.applies.iter_mut().filter(|apply| apply.order == WAYS_ROUND) {
                apply.demand = Some(Demand::Own);
                // An address, even one of the operator's own, tells browsers and relays to go ahead.
                apply.sink.get_or_insert(Sink::Nxdomain);
            }
        }
        operator
    }
}

impl WaysRound {
    /// Returns whether any names or addresses are withheld.
    fn withholds_names(&self) -> bool {
        self.services().any(|(_, on)| on)
    }

    /// Returns every service of the catalogue, and whether it is withheld.
    fn services(&self) -> impl Iterator<Item = (&'static str, bool)> {
        // Taken apart field by field, so that a field added to `WaysRound` has to be dealt with here.
        let Self { canary, relay, discovery, public_resolvers, ech: _, catalogue: _ } = *self;
        [
            ("canary", canary),
            ("relay", relay),
            ("discovery", discovery),
            ("public-resolver", public_resolvers),
            ("public-resolver-address", public_resolvers),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::feed;
    use crate::message::Name;
    use crate::policy::Verdict;
    use crate::query::Target;

    fn config(switch: impl FnOnce(&mut WaysRound)) -> Config {
        let mut config = Config::default_values();
        switch(&mut config.ways_round);
        config
    }

    #[test]
    fn nothing_is_added_while_all_is_off() {
        let config = config(|_| {});
        assert_eq!(config.selection(), Selection::default());
        assert_eq!(config.operator(), Operator::default());
        let ech = self::config(|of| of.ech = true);
        assert_eq!(ech.selection(), Selection::default(), "keys are no names");
    }

    #[test]
    fn each_switch_withholds_its_own_names_and_no_others() {
        let anyone = Client::at([192, 0, 2, 1].into());
        let at: jiff::Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        for switched in ["canary", "relay", "discovery", "public_resolvers"] {
            let config = config(|of| match switched {
                "canary" => of.canary = true,
                "relay" => of.relay = true,
                "discovery" => of.discovery = true,
                _ => of.public_resolvers = true,
            });
            let snapshot = feed::load(&config.selection(), config.operator(), 1).unwrap().snapshot;
            for (of, text) in [
                ("canary", "use-application-dns.net"),
                ("relay", "mask.icloud.com"),
                ("relay", "mask-h2.icloud.com"),
                ("discovery", "_dns.resolver.arpa"),
                ("public_resolvers", "dns.google"),
                ("public_resolvers", "mozilla.cloudflare-dns.com"),
                ("public_resolvers", "8.8.8.8"),
                ("public_resolvers", "1.1.1.1"),
                ("public_resolvers", "223.6.6.6"),
                ("public_resolvers", "9.9.9.9"),
                ("public_resolvers", "185.228.168.168"),
                ("public_resolvers", "::ffff:8.8.8.8"),
            ] {
                let target = text.parse().map_or_else(|_| Target::Name(text.parse().unwrap()), Target::Address);
                let verdict = match &target {
                    Target::Name(name) => snapshot.decide(name, &anyone, at).verdict,
                    Target::Address(_) => snapshot.decide_subject(&Name::root(), &target, &anyone, at).verdict,
                };
                let expected = if of == switched { Verdict::Sunk } else { Verdict::Noted };
                assert_eq!(verdict, expected, "{text} with {switched}");
            }
            for text in ["icloud.com", "www.icloud.com", "google", "www.google", "cloudflare.com", "quad9.net"] {
                let verdict = snapshot.decide(&text.parse().unwrap(), &anyone, at).verdict;
                assert_eq!(verdict, Verdict::Pass, "{text} with {switched}");
            }
        }
    }

    /// RFC 8914, sections 4.16 and 4.17.
    #[test]
    fn it_is_the_operators_own_choice_even_where_orders_bind() {
        let mut config = config(|of| of.canary = true);
        config.policy.operator.demand = Demand::External;
        let snapshot = feed::load(&config.selection(), config.operator(), 1).unwrap().snapshot;
        let anyone = Client::at([192, 0, 2, 1].into());
        let at: jiff::Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        for (name, demand) in [("use-application-dns.net", Demand::Own), ("dnl-01.geo.kaspersky.com", Demand::External)]
        {
            let decision = snapshot.decide(&name.parse().unwrap(), &anyone, at);
            let deciding = decision.deciding.unwrap();
            assert_eq!(snapshot.application_of(&deciding, anyone.group()).demand, demand, "{name}");
        }
    }

    /// A browser takes any address for leave to use its own resolver.
    #[test]
    fn no_way_round_is_answered_with_an_address() {
        let at: jiff::Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        let anyone = Client::at([192, 0, 2, 1].into());
        let own =
            |sink| Apply { order: WAYS_ROUND.into(), groups: Vec::new(), phase: Phase::Enforce, demand: None, sink };
        for (written, expected) in [
            (None, Sink::Nxdomain),
            (Some(own(None)), Sink::Nxdomain),
            (Some(own(Some(Sink::Nodata))), Sink::Nodata),
            (Some(own(Some(Sink::Refused))), Sink::Refused),
        ] {
            let mut config = config(|of| (of.canary, of.relay) = (true, true));
            config.answer.sink = Sink::Address { v4: Some([192, 0, 2, 80].into()), v6: None };
            config.policy.operator.applies.extend(written);
            let snapshot = feed::load(&config.selection(), config.operator(), 1).unwrap().snapshot;
            for name in ["use-application-dns.net", "mask.icloud.com"] {
                let deciding = snapshot.decide(&name.parse().unwrap(), &anyone, at).deciding.unwrap();
                assert_eq!(snapshot.application_of(&deciding, anyone.group()).sink, Some(expected), "{name}");
            }
        }
    }

    #[test]
    fn what_is_written_out_counts_before_the_switches() {
        let mut config = config(|of| of.canary = true);
        let own = |choice| OperatorTreatment { order: WAYS_ROUND.into(), service: "relay".into(), choice };
        config.policy.operator.treatments.push(own(TreatmentChoice::Exempt));
        assert_eq!(config.operator().treatments.last(), Some(&own(TreatmentChoice::Exempt)));
        config.policy.orders.push(WAYS_ROUND.to_owned());
        config.policy.catalogues.push(WAYS_ROUND.to_owned());
        let selection = config.selection();
        assert_eq!(selection.orders, config.policy.orders, "nothing is chosen twice");
        assert_eq!(selection.catalogues, config.policy.catalogues);
    }
}

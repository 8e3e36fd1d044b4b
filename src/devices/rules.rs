//! The table of rules, and what they say of facts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::kind::Kind;
use super::measure::{Condition, Measure};
use super::role::{Confidence, Role};

/// The table that the program carries.
const SHIPPED: &str = include_str!("../../blocklists/roles.toml");

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    pub id: String,
    pub role: Role,
    pub confidence: Confidence,
    /// The conditions as they are written.
    pub when: Vec<String>,
    conditions: Vec<Condition>,
    /// What it says where it holds, with measures in braces.
    says: String,
    /// Where the facts behind it come from.
    pub source: String,
    /// On what it errs.
    pub error: String,
}

/// All rules, and the kinds of services.
#[derive(Debug, Clone)]
pub struct Rules {
    kinds: BTreeMap<String, Kind>,
    pub rules: Vec<Rule>,
}

/// What rules say of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub role: Role,
    /// None where no rule holds.
    pub confidence: Option<Confidence>,
    /// What the rules of this role say, the one that decides first: its id and its words.
    pub reasons: Vec<(String, String)>,
    /// Other roles that rules speak for, in the order of the table.
    pub otherwise: Vec<Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    format: u32,
    kinds: BTreeMap<String, Vec<String>>,
    rule: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    role: String,
    confidence: String,
    when: Vec<String>,
    says: String,
    source: String,
    error: String,
}

impl Rules {
    /// Returns the table that the program carries.
    pub fn shipped() -> &'static Self {
        static RULES: LazyLock<Rules> =
            LazyLock::new(|| Rules::read(SHIPPED).expect("the table that is built in is read by a test"));
        &RULES
    }

    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn read(text: &str) -> Result<Self, String> {
        let Sheet { format, kinds: named, rule } = toml::from_str(text).map_err(|error| error.to_string())?;
        if format != 1 {
            return Err(format!("format {format} is not known"));
        }
        let mut kinds = BTreeMap::new();
        for (word, services) in named {
            let kind = Kind::of(&word).ok_or_else(|| format!("`{word}` is no kind"))?;
            for service in services {
                if kinds.insert(service.clone(), kind).is_some() {
                    return Err(format!("the service `{service}` is of two kinds"));
                }
            }
        }
        let rules = rule.into_iter().map(read_rule).collect::<Result<_, _>>()?;
        Ok(Self { kinds, rules })
    }

    /// Returns of which kind a service is.
    pub fn kind(&self, service: &str) -> Kind {
        self.kinds.get(service).copied().unwrap_or(Kind::Other)
    }

    /// Returns what the rules say of a device.
    pub fn judge(&self, facts: &Facts) -> Finding {
        let mut holding = self.rules.iter().filter(|rule| rule.conditions.iter().all(|of| of.holds(facts)));
        let Some(first) = holding.next() else {
            return Finding { role: Role::Unclear, confidence: None, reasons: Vec::new(), otherwise: Vec::new() };
        };
        let (role, confidence) = (first.role, Some(first.confidence));
        let mut found = Finding { role, confidence, reasons: vec![first.words(facts)], otherwise: Vec::new() };
        for rule in holding {
            if rule.role == role {
                found.reasons.push(rule.words(facts));
            } else if !found.otherwise.contains(&rule.role) {
                found.otherwise.push(rule.role);
            }
        }
        found
    }
}

fn read_rule(row: Row) -> Result<Rule, String> {
    let Row { id, role, confidence, when, says, source, error } = row;
    let wrong = |what: String| format!("rule {id}: {what}");
    let conditions = when.iter().map(|text| Condition::read(text).map_err(|fault| wrong(fault.to_string())));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    if conditions.is_empty() || source.is_empty() || error.is_empty() {
        return Err(wrong("it needs conditions, a source and its error".to_owned()));
    }
    if let Some(unknown) = measures(&says).find(|text| Measure::read(text).is_none()) {
        return Err(wrong(format!("`{unknown}` is no measure")));
    }
    let role = Role::of(&role).ok_or_else(|| wrong(format!("`{role}` is no role")))?;
    let confidence = Confidence::of(&confidence).ok_or_else(|| wrong(format!("`{confidence}` is no confidence")))?;
    Ok(Rule { id, role, confidence, when, conditions, says, source, error })
}

fn measures(says: &str) -> impl Iterator<Item = &str> {
    says.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default())
}

impl Rule {
    fn words(&self, facts: &Facts) -> (String, String) {
        let mut words = String::new();
        let mut parts = self.says.split('{');
        words.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (measure, rest) = part.split_once('}').unwrap_or((part, ""));
            let value = Measure::read(measure).and_then(|measure| measure.of(facts));
            words.push_str(&value.map_or_else(|| "?".to_owned(), |value| value.to_string()));
            words.push_str(rest);
        }
        (self.id.clone(), words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_every_rule_is_whole() {
        let rules = Rules::read(SHIPPED).unwrap();
        let ids: std::collections::BTreeSet<_> = rules.rules.iter().map(|rule| &rule.id).collect();
        assert_eq!(ids.len(), rules.rules.len(), "no id is given twice");
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Unclear) {
            assert!(rules.rules.iter().any(|rule| rule.role == role), "no rule speaks for {role}");
        }
        assert_eq!(
            (rules.kind("update"), rules.kind("ksn"), rules.kind("x")),
            (Kind::Update, Kind::Reputation, Kind::Other)
        );
    }

    #[test]
    fn a_faulty_table_is_refused_with_its_rule() {
        let table = |of: &str| format!("format = 1\n[kinds]\nupdate = [\"update\"]\n{of}");
        let rule = "[[rule]]\nid = \"a\"\nrole = \"endpoint\"\nconfidence = \"high\"\nwhen = [\"days.update >= 1\"]\n\
                    says = \"{days.update}\"\nsource = \"x\"\nerror = \"y\"\n";
        assert!(Rules::read(&table(rule)).is_ok());
        for (from, to, words) in [
            ("endpoint", "thing", "`thing` is no role"),
            ("high", "sure", "`sure` is no confidence"),
            (">= 1", "> 1", "`days.update > 1` is no condition"),
            ("{days.update}", "{days.moon}", "`days.moon` is no measure"),
            ("source = \"x\"", "source = \"\"", "it needs conditions"),
            ("error = \"y\"\n", "", "missing field `error`"),
        ] {
            let fault = Rules::read(&table(&rule.replace(from, to))).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
        assert!(Rules::read(&table("web = [\"update\"]\n[[rule]]")).is_err());
    }

    #[test]
    fn the_first_rule_decides_and_others_are_told() {
        let rules = Rules::shipped();
        let mut facts = Facts::default();
        assert_eq!((rules.judge(&facts).role, rules.judge(&facts).confidence), (Role::Unclear, None));
        for day in 0..10 {
            facts.add(Kind::Update, 12, day, 0b0101_0101_0000_0000);
            facts.add(Kind::Reputation, 40, day, 0b1111_1111_0000_0000);
        }
        let found = rules.judge(&facts);
        assert_eq!((found.role, found.confidence), (Role::Endpoint, Some(Confidence::High)));
        assert_eq!(found.reasons[0].0, "steady-updates");
        assert!(found.reasons[0].1.contains("on 10 days, about every 2 hours"), "{found:?}");
        assert!(found.reasons.iter().any(|(id, _)| id == "updates-and-reputation"), "{found:?}");
        facts.many = true;
        let found = rules.judge(&facts);
        assert_eq!((found.role, found.otherwise.as_slice()), (Role::Many, &[Role::Endpoint][..]));
    }
}

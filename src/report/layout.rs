//! From a report to a page: first what answers at a glance, then the details.

use jiff::Timestamp;

use super::chart::{self, Parts};
use super::details;
use super::page::{Block, Cell, Page, Table, plain};
use super::sums::Sums;
use super::texts::{Texts, fill};
use super::timeline::{Marked, Timeline};
use super::value::{Mark, Node, OrderShown, Phase, Report};

/// The most services that a chart shows; the table beside it has all.
const MAX_BARS: usize = 12;

/// Writes a report in the words of one language.
pub(super) fn page(report: &Report, texts: &'static Texts) -> Page {
    let mut of = Writer { report, texts, blocks: Vec::new() };
    of.glance();
    of.orders();
    of.running();
    of.services();
    of.trend();
    of.through();
    of.blind();
    details::write(&mut of);
    of.foot();
    let Writer { blocks, .. } = of;
    let (from, to) = (when(report.basis.from), when(report.basis.to));
    Page {
        lang: texts.lang,
        title: texts.title.to_owned(),
        subtitle: fill(texts.period, &[&from, &to]),
        made_from: report.made_from.clone(),
        blocks,
    }
}

pub(super) struct Writer<'a> {
    pub(super) report: &'a Report,
    pub(super) texts: &'static Texts,
    blocks: Vec<Block>,
}

/// Returns an instant in UTC, with no more than it needs.
pub(super) fn when(at: Timestamp) -> String {
    let format = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%MZ" } else { "%Y-%m-%d %H:%M:%SZ" };
    at.strftime(format).to_string()
}

impl Writer<'_> {
    pub(super) fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.push(Block::Heading(text.to_owned()));
    }

    pub(super) fn text(&mut self, text: &str, values: &[&str]) {
        self.push(Block::Text(plain(&fill(text, values))));
    }

    /// Adds a table; one without rows says so.
    pub(super) fn table(&mut self, title: &str, heads: &[&'static str], rows: Vec<Vec<Cell>>) {
        let shown = |cell| match cell {
            Cell::Text(text) => Cell::Text(plain(&text)),
            Cell::Number(number) => Cell::Number(number),
        };
        let rows: Vec<Vec<Cell>> = rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
        self.push(Block::Table(Table { title: title.to_owned(), heads: heads.to_vec(), rows }));
    }

    fn glance(&mut self) {
        let (report, texts) = (self.report, self.texts);
        let number = |number| texts.number(number);
        let totals = &report.totals;
        let coverage = report.nodes.iter().map(|node| node.coverage.basis_points).min().unwrap_or_default();
        let integrity = worst(&report.nodes);
        let integrity = self.integrity(integrity).to_owned();
        let figures = vec![
            (number(totals.attempted), texts.tile_attempted.to_owned()),
            (number(totals.sums.withheld), texts.tile_withheld.to_owned()),
            (number(totals.let_through), texts.tile_through.to_owned()),
            (number(totals.devices), texts.tile_devices.to_owned()),
            (texts.percent(coverage), texts.tile_coverage.to_owned()),
            (integrity, texts.tile_integrity.to_owned()),
        ];
        let lead = if totals.attempted == 0 { texts.lead_none } else { texts.lead };
        let devices = number(totals.devices);
        let values = [devices, number(totals.attempted), number(totals.sums.withheld), number(totals.let_through)];
        self.heading(texts.summary);
        if let Some(order) = &report.basis.order {
            self.push(Block::Notice(plain(&fill(texts.scope_order, &[order]))));
        }
        if let Some(group) = &report.basis.group {
            self.push(Block::Notice(plain(&fill(texts.scope_group, &[group]))));
        }
        self.text(lead, &values.each_ref().map(String::as_str));
        self.push(Block::Figures(figures));
        let told = [number(totals.networks), number(totals.anonymous), number(totals.unattributed)];
        self.text(texts.devices_note, &told.each_ref().map(String::as_str));
        if totals.unrecorded > 0 {
            self.text(texts.unrecorded_note, &[&number(totals.unrecorded)]);
        }
        if totals.threats > 0 {
            self.text(texts.threats_note, &[&number(totals.threats)]);
        }
    }

    fn integrity(&self, word: Option<&str>) -> &'static str {
        match word {
            Some("intact") => self.texts.intact,
            Some("incomplete") => self.texts.incomplete,
            Some("tampered") => self.texts.tampered,
            Some(_) | None => self.texts.not_verified,
        }
    }

    fn orders(&mut self) {
        let (report, texts) = (self.report, self.texts);
        self.heading(texts.orders);
        let (mut prohibitions, mut applied) = (Vec::new(), Vec::new());
        for OrderShown { id, act, .. } in &report.orders {
            let Some(act) = act else {
                self.push(Block::Notice(plain(&format!("{id}: {}", texts.order_unknown))));
                continue;
            };
            let rules = if act.rules.is_empty() { texts.none.to_owned() } else { act.rules.join(", ") };
            let published = act.published.to_string();
            self.text(texts.order_line, &[id, &act.title, &act.issuer, &act.citation, &published, &rules]);
            for of in &act.prohibitions {
                let until = of.until.map_or(texts.open_end.to_owned(), when);
                let from = format!("{} ({})", when(of.from), of.verified);
                prohibitions.push(cells([
                    id.clone(),
                    of.title.clone(),
                    from,
                    until,
                    of.basis.clone(),
                    of.services.join(", "),
                ]));
            }
            for of in &act.applied {
                let phase = match (of.phase, of.until) {
                    (Phase::Enforce, _) => texts.phase_enforce.to_owned(),
                    (Phase::Monitor, None) => texts.phase_monitor.to_owned(),
                    (Phase::Monitor, Some(until)) => fill(texts.phase_monitor_until, &[&when(until)]),
                    (Phase::Off, _) => texts.phase_off.to_owned(),
                };
                let demand = if of.binding { texts.demand_binding } else { texts.demand_own };
                applied.push(cells([id.clone(), of.group.clone(), phase, demand.to_owned()]));
            }
        }
        let heads = [
            texts.col_order,
            texts.col_prohibition,
            texts.col_from,
            texts.col_until,
            texts.col_basis,
            texts.col_services,
        ];
        self.table(texts.prohibitions, &heads, prohibitions);
        self.table(texts.applied, &[texts.col_order, texts.col_group, texts.col_phase, texts.col_demand], applied);
    }

    fn running(&mut self) {
        let (report, texts) = (self.report, self.texts);
        self.heading(texts.running);
        let mut rows = Vec::new();
        for node in &report.nodes {
            rows.push(self.node(node));
        }
        let heads = [
            texts.col_node,
            texts.col_checkpoint,
            texts.col_integrity,
            texts.col_key,
            texts.col_anchored,
            texts.col_coverage,
            texts.col_clock,
            texts.col_queries,
            texts.col_attempted,
        ];
        self.table(texts.nodes, &heads, rows);
        self.text(texts.nodes_note, &[]);
        for node in &report.nodes {
            for fault in &node.faults {
                self.push(Block::Notice(plain(&fill(texts.fault_note, &[&node.name, fault]))));
            }
            if node.unread > 0 {
                let unread = texts.number(node.unread);
                self.push(Block::Notice(plain(&fill(texts.unread_note, &[&node.name, &unread]))));
            }
        }
        let policy = |of: &super::value::PolicyUse| {
            let known = if of.known { String::new() } else { format!(" ({})", texts.unknown) };
            cells([format!("{}{known}", of.digest), when(of.from), when(of.until)])
        };
        let rows = report.policies.iter().map(policy).collect();
        self.table(texts.policies, &[texts.col_digest, texts.col_from, texts.col_until], rows);
    }

    fn node(&self, node: &Node) -> Vec<Cell> {
        let texts = self.texts;
        let checkpoints = node.checkpoints.iter().map(|of| format!("{}: {}, {}", of.origin, of.size, of.root));
        let anchored = match node.anchored {
            Some((leaves, at)) => {
                fill(texts.anchored_to, &[&leaves.to_string(), &at.map_or(texts.unknown.to_owned(), when)])
            }
            None => texts.anchored_none.to_owned(),
        };
        let percent = texts.percent(node.coverage.basis_points);
        let coverage = match (node.since, node.until) {
            (Some(since), Some(until)) => fill(texts.told_of, &[&percent, &when(since), &when(until)]),
            _ => percent,
        };
        let clock: Vec<_> = node.clock.iter().map(|(word, minutes)| format!("{word} {minutes}")).collect();
        vec![
            node.name.clone().into(),
            checkpoints.collect::<Vec<_>>().join("; ").into(),
            self.integrity(node.integrity.as_deref()).into(),
            if node.key_given { texts.key_given } else { texts.key_beside }.into(),
            anchored.into(),
            coverage.into(),
            clock.join(", ").into(),
            node.queries.into(),
            node.attempted.into(),
        ]
    }

    fn services(&mut self) {
        let (report, texts) = (self.report, self.texts);
        self.heading(texts.services);
        let attempted = report.services.iter().filter(|row| row.attempted > 0);
        let bars: Vec<_> = attempted
            .take(MAX_BARS)
            .map(|row| (plain(&row.service), [row.sums.withheld, row.sums.let_through(), 0]))
            .collect();
        if !bars.is_empty() {
            let names = [texts.col_withheld, texts.col_through];
            let drawing = chart::rows(&bars, &names, &|number| texts.number(number), described(&bars));
            self.push(Block::Chart { title: texts.services_chart.to_owned(), drawing });
        }
        let mut rows = Vec::new();
        for row in &report.services {
            let title =
                row.title.as_ref().map_or_else(|| row.service.clone(), |title| format!("{} ({title})", row.service));
            let mut cells = vec![row.order.clone().into(), Cell::Text(title), row.devices.into()];
            cells.extend(sums(&row.sums));
            rows.push(cells);
        }
        let heads = [[texts.col_order, texts.col_service, texts.col_devices].as_slice(), &self.sum_heads()].concat();
        self.table(texts.services, &heads, rows);
        self.text(texts.services_note, &[]);
    }

    pub(super) fn sum_heads(&self) -> [&'static str; 5] {
        let texts = self.texts;
        [texts.col_attempted, texts.col_withheld, texts.col_through, texts.col_kept, texts.col_other]
    }

    fn trend(&mut self) {
        let (report, texts) = (self.report, self.texts);
        self.heading(texts.trend);
        let trend = &report.trend;
        let parts = |sums: &Sums| [sums.withheld, sums.let_through(), sums.kept];
        let bars: Vec<(String, Parts)> = trend.bins.iter().map(|bin| (bin.day.to_string(), parts(&bin.sums))).collect();
        let title = match trend.days {
            1 => texts.trend_chart_day.to_owned(),
            days => fill(texts.trend_chart, &[&days.to_string()]),
        };
        let row = |bin: &super::value::Bin| {
            let mut cells = vec![Cell::Text(bin.day.to_string())];
            cells.extend(sums(&bin.sums));
            cells
        };
        let rows = trend.bins.iter().filter(|bin| bin.sums != Sums::default()).map(row).collect();
        let marked = |mark: &Mark| Marked {
            place: self.place(mark),
            what: format!("{}, {}", mark.order, mark.prohibition),
            begins: mark.begins,
            at: mark.at,
        };
        let timeline = Timeline {
            title,
            bars,
            parts: [texts.col_withheld, texts.col_through, texts.col_kept],
            marks: trend.marks.iter().map(marked).collect(),
            heads: [[texts.col_day].as_slice(), &self.sum_heads()].concat(),
            rows,
        };
        self.blocks.extend(timeline.blocks(texts));
        self.around();
    }

    /// Returns where an instant is in the chart, in bars.
    fn place(&self, mark: &Mark) -> f32 {
        const DAY: f64 = 86_400.0;
        let start = self.report.basis.from.as_second().div_euclid(86_400) as f64;
        let days = mark.at.as_second() as f64 / DAY - start;
        (days / f64::from(self.report.trend.days.max(1))) as f32
    }

    fn around(&mut self) {
        let (report, texts) = (self.report, self.texts);
        let mut rows = Vec::new();
        for of in &report.around {
            for (word, side) in [(texts.before, &of.before), (texts.after, &of.after)] {
                let what = format!("{}, {} ({})", of.mark.order, of.title, when(of.mark.at));
                let side_of = format!("{word}: {} – {}", when(side.from), when(side.to));
                let mut cells = vec![Cell::Text(what), side_of.into(), side.devices.into()];
                cells.extend(sums(&side.sums));
                rows.push(cells);
            }
        }
        if !rows.is_empty() {
            let heads = [[texts.col_instant, texts.col_side, texts.col_devices].as_slice(), &self.sum_heads()].concat();
            self.table(texts.around, &heads, rows);
            self.text(texts.around_note, &[]);
        }
    }

    fn through(&mut self) {
        let (report, texts) = (self.report, self.texts);
        self.heading(texts.through);
        let Sums { withheld: _, waived, pending, watched, early, kept, other } = report.totals.sums;
        let rows = [
            (texts.why_waived, waived),
            (texts.why_pending, pending),
            (texts.why_watched, watched),
            (texts.why_kept, kept),
            (texts.why_early, early),
            (texts.why_other, other),
        ];
        let rows = rows.into_iter().map(|(why, count)| vec![why.into(), count.into()]).collect();
        self.table(texts.through, &[texts.col_why, texts.col_lookups], rows);
        let mut rows = Vec::new();
        for of in &report.waivers {
            let or = |text: &Option<String>| text.clone().unwrap_or_else(|| texts.unknown.to_owned());
            let instant = |at: Option<Timestamp>| at.map_or(texts.unknown.to_owned(), when);
            rows.push(vec![
                of.id.clone().into(),
                of.order.clone().into(),
                or(&of.reason).into(),
                or(&of.approver).into(),
                of.ticket.clone().unwrap_or_default().into(),
                instant(of.from).into(),
                instant(of.until).into(),
                of.devices.into(),
                of.lookups.into(),
            ]);
        }
        let heads = [
            texts.col_waiver,
            texts.col_order,
            texts.col_reason,
            texts.col_approver,
            texts.col_ticket,
            texts.col_from,
            texts.col_until,
            texts.col_devices,
            texts.col_lookups,
        ];
        self.table(texts.waivers, &heads, rows);
    }

    fn blind(&mut self) {
        let texts = self.texts;
        self.heading(texts.blind);
        let said = [
            texts.blind_silence,
            texts.blind_ways,
            texts.blind_requesters,
            texts.blind_forged,
            texts.blind_unlogged,
            texts.blind_names,
        ];
        self.push(Block::List(said.map(str::to_owned).to_vec()));
    }

    fn foot(&mut self) {
        let (report, texts) = (self.report, self.texts);
        self.heading(texts.foot);
        self.text(texts.foot_use, &[]);
        self.text(texts.foot_law, &[]);
        match &report.basis.duty {
            Some(duty) => self.text(texts.foot_duty, &[duty]),
            None => self.text(texts.foot_no_duty, &[]),
        }
        self.text(texts.foot_again, &[&report.program]);
    }
}

fn worst(nodes: &[Node]) -> Option<&str> {
    let rank = |word: Option<&str>| match word {
        Some("intact") => 0,
        Some("incomplete") => 1,
        None => 2,
        Some(_) => 3,
    };
    nodes.iter().map(|node| node.integrity.as_deref()).max_by_key(|word| rank(*word)).flatten()
}

pub(super) fn described(bars: &[(String, Parts)]) -> String {
    let bar = |(name, [one, two, three]): &(String, Parts)| format!("{name}: {}", one + two + three);
    bars.iter().map(bar).collect::<Vec<_>>().join(", ")
}

pub(super) fn cells<const N: usize>(texts: [String; N]) -> Vec<Cell> {
    texts.map(Cell::Text).to_vec()
}

/// Returns attempted contact, withheld, let through, kept and other look-ups.
pub(super) fn sums(of: &Sums) -> [Cell; 5] {
    let rest = of.other.saturating_add(of.early);
    [of.attempted(), of.withheld, of.let_through(), of.kept, rest].map(Cell::Number)
}

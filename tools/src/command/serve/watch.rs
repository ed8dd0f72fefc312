//! What an operator should hear of while the server runs: each change of the pool's health, once.

use crate::output::format_size;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::LostObject;
use ashlar_engine::{CleaningStatus, Engine, EngineStatus, RebuildStatus, ScrubStatus};
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two looks. Health changes rarely, and a look walks over the list of groups.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Looks between two lines that say how far scrubbing is: an hour. It may take days.
const SCRUB_LOOKS: u32 = 720;

/// Reports on standard error for the life of the server; on core 0, the only one that knows.
pub(super) async fn watch<R: Runtime>(runtime: R, engine: Engine<R>) {
    let mut before = engine.status();
    let mut scrubbing = ScrubTeller::default();
    loop {
        runtime.sleep(LOOK_PAUSE).await;
        let now = engine.status();
        if let (Some(before), Some(now)) = (&before, &now) {
            for line in changes(before, now) {
                eprintln!("ashlar: WARNING: {line}");
            }
            if let Some(line) = cleaning(&before.cleaning, &now.cleaning) {
                eprintln!("ashlar: {line}");
            }
            if let Some(line) = rebuilding(before, now) {
                eprintln!("ashlar: {line}");
            }
        }
        if let Some(now) = &now {
            for line in scrubbing.found(&now.scrubbing, || engine.lost()) {
                eprintln!("ashlar: WARNING: {line}");
            }
            for line in scrubbing.progress(now.scrubbing) {
                eprintln!("ashlar: {line}");
            }
        }
        before = now;
    }
}

/// Tells of scrubbing: when it begins, now and then while it runs, when it ends, and always what it found.
#[derive(Debug, Default)]
struct ScrubTeller {
    /// As of the last look. The counts begin with the run, so that nothing is missed before the first.
    before: ScrubStatus,
    /// Lost objects that were named.
    named: BTreeSet<LostObject>,
    /// Looks since a line was printed.
    quiet: u32,
}

impl ScrubTeller {
    /// What is bad, or was. To be followed by [`ScrubTeller::progress`].
    fn found(&mut self, now: &ScrubStatus, lost: impl FnOnce() -> Vec<LostObject>) -> Vec<String> {
        let mut lines = Vec::new();
        match now.mended.saturating_sub(self.before.mended) {
            0 => {}
            1 => lines.push("scrubbing: 1 chunk was bad and is mended".to_owned()),
            count => lines.push(format!("scrubbing: {count} chunks were bad and are mended")),
        }
        match now.unmended.saturating_sub(self.before.unmended) {
            0 => {}
            1 => lines.push("scrubbing: 1 chunk is bad and could not be mended".to_owned()),
            count => lines.push(format!("scrubbing: {count} chunks are bad and could not be mended")),
        }
        let is_other = now.began_ms != self.before.began_ms;
        if is_other {
            self.named.clear();
        }
        if now.lost > 0 {
            let lost: BTreeSet<LostObject> = lost().into_iter().collect();
            lines.extend(lost.difference(&self.named).map(damaged));
            self.named.extend(lost);
        }
        if now.may_be_more_lost && (is_other || !self.before.may_be_more_lost) {
            lines.push("scrubbing: there may be more damaged objects than were named".to_owned());
        }
        if now.is_index_damaged && (is_other || !self.before.is_index_damaged) {
            lines.push(
                "scrubbing: part of the index cannot be read from the devices; attach those that are away, or copy what \
                 matters elsewhere before this server ends"
                    .to_owned(),
            );
        }
        lines
    }

    /// How far it is.
    fn progress(&mut self, now: ScrubStatus) -> Vec<String> {
        let before = std::mem::replace(&mut self.before, now);
        let is_other = now.began_ms != before.began_ms;
        let has_ended = if before.is_active {
            !now.is_active || is_other
        } else {
            // Begun and ended between two looks.
            !now.is_active && (now.groups, now.failed) != (before.groups, before.failed)
        };
        let has_begun = now.is_active && (!before.is_active || is_other);
        self.quiet += 1;
        let mut lines = Vec::new();
        if has_ended {
            let line = scrubbed(&now);
            lines.push(if now.is_active { line } else { format!("{line}{}", torn(&now)) });
        }
        if has_begun && now.left > 0 {
            lines.push(format!("scrubbing: begun, {} groups to read", now.left));
        } else if now.is_active && self.quiet >= SCRUB_LOOKS {
            lines.push(format!("scrubbing: {} groups to read; {}", now.left, scrubbed(&now)));
        }
        if !lines.is_empty() {
            self.quiet = 0;
        }
        lines
    }
}

/// What cannot be read, and what is to be done.
fn damaged(lost: &LostObject) -> String {
    let LostObject { bucket, key, is_upload } = lost;
    let key = key.escape_ascii();
    let (what, remedy) = if *is_upload {
        ("a part of an upload to ", "send it again")
    } else {
        ("", "store it again, or delete it")
    };
    format!(
        "scrubbing: {what}{bucket}/{key} cannot be read whole: more of it is bad or away than the code makes up for; \
         {remedy}"
    )
}

/// What scrubbing did in this run.
fn scrubbed(status: &ScrubStatus) -> String {
    let ScrubStatus { groups, bytes, mended, unmended, lost, failed, .. } = *status;
    let mut line =
        format!("scrubbed so far: {groups} groups, {}, {mended} chunks mended", format_size(bytes));
    if unmended > 0 {
        line = format!("{line}, {unmended} could not be");
    }
    if lost > 0 {
        line = format!("{line}; {lost} objects cannot be read whole");
    }
    if failed > 0 {
        line = format!("{line}; {failed} groups could not be read to their end");
    }
    line
}

/// What a pass that is over left as it is, if nothing is lost by that.
fn torn(status: &ScrubStatus) -> String {
    let is_known = !status.may_be_more_lost && !status.is_index_damaged && status.failed == 0;
    if status.torn > 0 && status.lost == 0 && is_known {
        format!("; {} places are torn, and nobody needs what lay there", status.torn)
    } else {
        String::new()
    }
}

/// How far rebuilding is, while it runs and when it has ended.
fn rebuilding(before: &EngineStatus, now: &EngineStatus) -> Option<String> {
    let lacking: u64 = now.redundancy.iter().skip(1).sum();
    let RebuildStatus { is_active, members, bytes, failed, broken } = now.rebuilding;
    let is_news = is_active || before.rebuilding.is_active || members > before.rebuilding.members;
    if !is_news {
        return None;
    }
    if is_active {
        let left = format!("{lacking} groups lack a member");
        return Some(format!("rebuilding on other devices: {left}, {} done so far", format_size(bytes)));
    }
    let mut line = format!("rebuilt so far: {members} members of groups, {}", format_size(bytes));
    if lacking > 0 {
        line = format!("{line}; {lacking} groups still lack a member");
    }
    if failed > 0 {
        line = format!("{line}; {failed} attempts failed");
    }
    if broken > 0 {
        line = format!("{line}; {broken} groups have rows that nobody can complete, and are emptied");
    }
    Some(line)
}

/// Whether space began to be made out of partly dead groups, or was made, between two looks.
fn cleaning(before: &CleaningStatus, now: &CleaningStatus) -> Option<String> {
    if now.is_active {
        let is_new = !before.is_active;
        return is_new.then(|| "space is short: live data is moved out of partly dead groups".to_owned());
    }
    let passes = now.passes - before.passes;
    if passes == 0 && !before.is_active {
        return None;
    }
    let aside = match now.set_aside {
        0 => String::new(),
        count => format!("; {count} could not be emptied and are left alone for a while"),
    };
    Some(format!(
        "groups emptied so far: {}, by moving {} of {} records{aside}",
        now.groups,
        format_size(now.bytes),
        now.records
    ))
}

/// What has become worse, or was mended, between two looks.
fn changes(before: &EngineStatus, now: &EngineStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let lost = now.redundancy.iter().rposition(|groups| *groups > 0).unwrap_or(0);
    let spare = usize::from(now.shape.m).saturating_sub(lost);
    for device in now.devices.iter().filter(|device| !device.in_service) {
        let was_in = before.devices.iter().any(|old| old.index == device.index && old.in_service);
        if was_in {
            let why = device.failure.map_or_else(|| "it failed".to_owned(), |error| error.to_string());
            lines.push(format!(
                "device {} was taken out of service: {why}; the pool survives {spare} more",
                device.index
            ));
        }
    }
    for device in now.devices.iter().filter(|device| device.in_service) {
        let was_slow = before.devices.iter().any(|old| old.index == device.index && old.is_slow);
        match (was_slow, device.is_slow) {
            (false, true) => lines.push(format!(
                "device {} answers much later than others: what can be is read and written elsewhere",
                device.index
            )),
            (true, false) => lines.push(format!("device {} answers in time again", device.index)),
            (false, false) | (true, true) => {}
        }
    }
    let repaired = now.repaired.saturating_sub(before.repaired);
    if repaired > 0 {
        lines.push(format!("{repaired} damaged chunks were found by reads, and written again"));
    }
    let failed = now.failed_checkpoints.saturating_sub(before.failed_checkpoints);
    if failed > 0 {
        lines.push(format!(
            "{failed} checkpoints failed; nothing is lost, but the log grows until one succeeds"
        ));
    }
    if now.damaged_runs > before.damaged_runs {
        lines.push(format!(
            "{} parts of the index have lost pages: what lies in them cannot be read",
            now.damaged_runs
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::code::CodeShape;
    use ashlar_disk_format::units::DeviceIndex;
    use ashlar_engine::DeviceStatus;
    use ashlar_engine::runtime::DeviceError;

    fn status() -> EngineStatus {
        let device = |index| DeviceStatus {
            index: DeviceIndex(index),
            bytes: 1 << 30,
            in_service: true,
            is_slow: false,
            failure: None,
        };
        EngineStatus {
            shape: CodeShape::new(4, 2).unwrap(),
            devices: (0..6).map(device).collect(),
            redundancy: vec![10, 0, 0],
            capacity_bytes: 1 << 30,
            free_bytes: 1 << 29,
            live_bytes: 0,
            checkpoints: 1,
            failed_checkpoints: 0,
            damaged_runs: 0,
            repaired: 0,
            cleaning: CleaningStatus::default(),
            rebuilding: RebuildStatus::default(),
            scrubbing: ScrubStatus::default(),
        }
    }

    #[test]
    fn cleaning_is_told_when_it_begins_and_when_it_ends() {
        let idle = CleaningStatus::default();
        let busy = CleaningStatus { is_active: true, begun: 1, passes: 1, ..idle };
        let done = CleaningStatus { passes: 4, groups: 9, bytes: 3 << 20, records: 12, begun: 1, ..idle };
        assert_eq!(cleaning(&idle, &idle), None);
        assert!(cleaning(&idle, &busy).unwrap().starts_with("space is short"));
        assert_eq!(cleaning(&busy, &CleaningStatus { passes: 3, ..busy }), None);
        let line = "groups emptied so far: 9, by moving 3MiB of 12 records";
        assert_eq!(cleaning(&busy, &done).as_deref(), Some(line));
        // Begun and ended between two looks.
        assert_eq!(cleaning(&idle, &done).as_deref(), Some(line));
        assert_eq!(cleaning(&done, &done), None);
        let stuck = CleaningStatus { set_aside: 2, ..done };
        assert!(
            cleaning(&busy, &stuck)
                .unwrap()
                .ends_with("2 could not be emptied and are left alone for a while")
        );
    }

    #[test]
    fn rebuilding_is_told_while_it_runs_and_when_it_ends() {
        let idle = status();
        assert_eq!(rebuilding(&idle, &idle), None);
        let busy = RebuildStatus { is_active: true, members: 3, bytes: 3 << 20, ..RebuildStatus::default() };
        let busy = EngineStatus { redundancy: vec![4, 6, 0], rebuilding: busy, ..status() };
        let line = "rebuilding on other devices: 6 groups lack a member, 3MiB done so far";
        assert_eq!(rebuilding(&idle, &busy).as_deref(), Some(line));
        assert_eq!(rebuilding(&busy, &busy).as_deref(), Some(line));
        let done = RebuildStatus { is_active: false, members: 9, bytes: 9 << 20, ..busy.rebuilding };
        let done = EngineStatus { rebuilding: done, ..status() };
        assert_eq!(rebuilding(&busy, &done).as_deref(), Some("rebuilt so far: 9 members of groups, 9MiB"));
        assert_eq!(rebuilding(&done, &done), None);
        let stuck = RebuildStatus { failed: 2, broken: 1, ..done.rebuilding };
        let stuck = EngineStatus { redundancy: vec![9, 1, 0], rebuilding: stuck, ..status() };
        assert_eq!(
            rebuilding(&busy, &stuck).as_deref(),
            Some(
                "rebuilt so far: 9 members of groups, 9MiB; 1 groups still lack a member; 2 attempts failed; 1 \
                 groups have rows that nobody can complete, and are emptied"
            )
        );
    }

    #[test]
    fn scrubbing_is_told_when_it_begins_now_and_then_and_when_it_ends() {
        let mut teller = ScrubTeller::default();
        // The first start of a pool notes a time, and makes no pass.
        let idle = ScrubStatus { began_ms: 1, ..ScrubStatus::default() };
        assert_eq!(teller.progress(idle), Vec::<String>::new());
        let busy = ScrubStatus { is_active: true, began_ms: 9, left: 7, ..idle };
        assert_eq!(teller.progress(busy), ["scrubbing: begun, 7 groups to read"]);
        let busy = ScrubStatus { groups: 2, left: 5, bytes: 2 << 20, ..busy };
        for look in 1..SCRUB_LOOKS {
            assert_eq!(teller.progress(busy), Vec::<String>::new(), "look {look}");
        }
        let busy = ScrubStatus { torn: 3, ..busy };
        let line = "scrubbing: 5 groups to read; scrubbed so far: 2 groups, 2MiB, 0 chunks mended";
        assert_eq!(teller.progress(busy), [line]);
        let done = ScrubStatus { is_active: false, groups: 7, left: 0, bytes: 7 << 20, mended: 1, ..busy };
        let line = "scrubbed so far: 7 groups, 7MiB, 1 chunks mended; 3 places are torn, and nobody needs what lay there";
        assert_eq!(teller.progress(done), [line]);
        let odd = [
            ScrubStatus { lost: 1, ..done },
            ScrubStatus { may_be_more_lost: true, ..done },
            ScrubStatus { is_index_damaged: true, ..done },
            ScrubStatus { failed: 1, ..done },
        ];
        assert!(odd.iter().all(|odd| torn(odd).is_empty()), "then nobody knows");
        assert_eq!(teller.progress(done), Vec::<String>::new());
        let nothing = ScrubStatus { is_active: true, began_ms: 10, ..done };
        assert_eq!(teller.progress(nothing), Vec::<String>::new(), "nothing is left");
    }

    #[test]
    fn a_short_pass_of_scrubbing_is_told_too() {
        let mut teller = ScrubTeller::default();
        let first = ScrubStatus {
            began_ms: 9,
            groups: 3,
            bytes: 3 << 20,
            failed: 1,
            unmended: 2,
            torn: 1,
            ..ScrubStatus::default()
        };
        let line = "scrubbed so far: 3 groups, 3MiB, 0 chunks mended, 2 could not be; 1 groups could not be read to \
                    their end";
        assert_eq!(teller.progress(first), [line]);
        // One pass that the next follows at once.
        let busy = ScrubStatus { is_active: true, began_ms: 10, left: 3, ..first };
        assert_eq!(teller.progress(busy), ["scrubbing: begun, 3 groups to read"]);
        let next = ScrubStatus { began_ms: 11, groups: 6, bytes: 6 << 20, ..busy };
        let lines = teller.progress(next);
        assert!(lines[0].starts_with("scrubbed so far: 6 groups, 6MiB"), "{lines:?}");
        assert_eq!(lines[1], "scrubbing: begun, 3 groups to read");
    }

    #[test]
    fn what_scrubbing_finds_is_told_each_time() {
        let mut teller = ScrubTeller::default();
        let one = ScrubStatus { mended: 1, unmended: 1, ..ScrubStatus::default() };
        let lines = teller.found(&one, Vec::new);
        assert_eq!(lines[0], "scrubbing: 1 chunk was bad and is mended");
        assert_eq!(lines[1], "scrubbing: 1 chunk is bad and could not be mended");
        let _lines = teller.progress(one);
        assert_eq!(teller.found(&one, Vec::new), Vec::<String>::new());
        let more = ScrubStatus { mended: 4, unmended: 3, ..one };
        let lines = teller.found(&more, Vec::new);
        assert_eq!(lines[0], "scrubbing: 3 chunks were bad and are mended");
        assert_eq!(lines[1], "scrubbing: 2 chunks are bad and could not be mended");
    }

    #[test]
    fn each_damaged_object_is_named_once() {
        let mut teller = ScrubTeller::default();
        let lost = |key: &[u8], is_upload| LostObject { bucket: "photos".into(), key: key.into(), is_upload };
        let one = ScrubStatus { groups: 1, lost: 1, torn: 2, ..ScrubStatus::default() };
        let lines = teller.found(&one, || vec![lost(b"a\nb", false)]);
        let line = "scrubbing: photos/a\\nb cannot be read whole: more of it is bad or away than the code makes up for; \
                    store it again, or delete it";
        assert_eq!(lines, [line]);
        assert!(teller.progress(one)[0].ends_with("; 1 objects cannot be read whole"));
        let two = ScrubStatus { lost: 2, may_be_more_lost: true, ..one };
        let lines = teller.found(&two, || vec![lost(b"a\nb", false), lost(b"c", true)]);
        let line = "scrubbing: a part of an upload to photos/c cannot be read whole: more of it is bad or away than the \
                    code makes up for; send it again";
        assert_eq!(lines, [line, "scrubbing: there may be more damaged objects than were named"]);
        let _lines = teller.progress(two);
        // The next pass begins and ends between two looks, and finds one of them again.
        let again = ScrubStatus { began_ms: 2, is_index_damaged: true, ..one };
        let lines = teller.found(&again, || vec![lost(b"c", true)]);
        assert_eq!(lines.len(), 2, "each pass says so");
        assert!(lines[1].starts_with("scrubbing: part of the index cannot be read"), "{lines:?}");
        let _lines = teller.progress(again);
        assert_eq!(teller.found(&again, || vec![lost(b"c", true)]), Vec::<String>::new());
    }

    #[test]
    fn each_change_is_told_once() {
        let before = status();
        assert_eq!(changes(&before, &before), Vec::<String>::new());
        let mut now = status();
        now.devices[3].in_service = false;
        now.redundancy = vec![4, 6, 0];
        now.devices[3].failure = Some(DeviceError::Io { errno: 5 });
        now.repaired = 2;
        now.failed_checkpoints = 1;
        now.damaged_runs = 1;
        let lines = changes(&before, &now);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "device 3 was taken out of service: device error 5; the pool survives 1 more");
        assert_eq!(changes(&now, &now), Vec::<String>::new());
    }
}

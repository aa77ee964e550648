//! Logs survive what befalls them.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn logs() -> (tempfile::TempDir, Logs) {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::new(folder.path().join("inventory.db.runs"));
    (folder, logs)
}

fn read(logs: &Logs, run: &str) -> Vec<String> {
    logs.read(run).unwrap().map(|line| line.unwrap()).collect()
}

#[test]
fn a_log_is_plain_while_it_grows_and_compressed_after() {
    let (_folder, logs) = logs();
    let mut log = logs.begin("a").unwrap();
    let lines: Vec<String> = (0..1_000)
        .map(|number| format!("{{\"n\":{number}}}"))
        .collect();
    for line in &lines {
        log.write(line);
        assert_eq!(log.failure(), None);
    }
    assert_eq!(read(&logs, "a"), lines);
    assert!(logs.begin("a").is_err(), "two writers of one log");
    assert!(logs.remove("a").is_err(), "a log that is being written");
    let name = log.finish().unwrap();
    assert_eq!(name, "a.ndjson.zst");
    assert_eq!(read(&logs, "a"), lines);
    let left: Vec<_> = std::fs::read_dir(logs.folder()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(logs.folder()), 0o700);
    assert_eq!(mode(&logs.folder().join(name)), 0o600);
    logs.remove("a").unwrap();
    assert_eq!(logs.runs().unwrap(), Vec::<String>::new());
}

#[test]
fn every_cut_of_a_log_loses_its_last_line_at_most() {
    let (_folder, logs) = logs();
    let lines = ["{\"n\":1}", "{\"n\":2,\"text\":\"監視\"}", "{\"n\":3}"];
    let mut log = logs.begin("a").unwrap();
    lines.iter().for_each(|line| log.write(line));
    let path = log.path().to_owned();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let complete = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let mut read = logs.read("a").unwrap();
        let kept: Vec<String> = read.by_ref().map(|line| line.unwrap()).collect();
        assert_eq!(kept, lines[..complete], "cut at {cut}");
        assert_eq!(
            read.is_torn(),
            cut > 0 && whole[cut - 1] != b'\n',
            "cut at {cut}"
        );
        // Whoever goes on begins a line of its own.
        let mut log = logs.begin("a").unwrap();
        log.write("next");
        drop(log);
        assert_eq!(
            self::read(&logs, "a").last().unwrap(),
            "next",
            "cut at {cut}"
        );
    }
}

#[test]
fn every_cut_of_a_compressed_log_gives_whole_lines() {
    let (_folder, logs) = logs();
    let mut log = logs.begin("a").unwrap();
    let lines: Vec<String> = (0..300_u32)
        .map(|number| format!("{{\"n\":{}}}", number.wrapping_mul(0x9e37_79b1)))
        .collect();
    lines.iter().for_each(|line| log.write(line));
    log.finish().unwrap();
    let path = logs.folder().join("a.ndjson.zst");
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let kept = read(&logs, "a");
        assert_eq!(kept, lines[..kept.len()], "cut at {cut}");
    }
}

#[test]
fn a_disk_that_refuses_stops_the_log_and_nothing_else() {
    let (_folder, logs) = logs();
    let mut log = logs.begin("a").unwrap();
    log.write("{}");
    // /dev/full refuses every write as a full disk does.
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    log.file = lock(full).unwrap();
    log.write("{}");
    let failure = log.failure().unwrap().to_owned();
    assert!(failure.contains("a.ndjson: No space left"), "{failure}");
    log.write("{}");
    assert_eq!(log.failure(), Some(&*failure));
}

#[test]
fn a_line_without_end_is_refused() {
    let (_folder, logs) = logs();
    let mut log = logs.begin("a").unwrap();
    log.write(&"x".repeat(LINE_BYTES_MAX + 1));
    drop(log);
    let error = logs.read("a").unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("a line of more than"), "{error}");
}

#[test]
fn an_id_names_no_file_elsewhere() {
    let (_folder, logs) = logs();
    for run in ["", "..", "../a", "a/b", "a\0b", ".a", "/etc/passwd"] {
        assert!(logs.begin(run).is_err(), "{run}");
        assert!(logs.read(run).is_err(), "{run}");
        assert!(logs.remove(run).is_err(), "{run}");
    }
}

#[test]
fn one_process_at_a_time_goes_on_with_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::new(folder.path());
    let mut log = logs.begin("a").unwrap();
    log.append(b"{\"one\":1}\n");
    log.finish().unwrap();
    let mut first = logs.resume("a").unwrap();
    let second = logs.resume("a").unwrap_err().to_string();
    assert!(second.contains("another process is writing it"), "{second}");
    first.append(b"{\"two\":2}\n");
    first.finish().unwrap();
    let lines: Vec<String> = logs.read("a").unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, ["{\"one\":1}", "{\"two\":2}"]);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "nothing but the log is left");
}

#[test]
fn an_import_is_no_run_before_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::new(folder.path());
    let mut killed = logs.begin_import("a").unwrap();
    killed.append(b"{\"half\":1}\n");
    drop(killed);
    assert!(logs.runs().unwrap().is_empty());
    let mut whole = logs.begin_import("a").unwrap();
    whole.append(b"{\"whole\":1}\n");
    whole.finish().unwrap();
    assert_eq!(logs.runs().unwrap(), ["a"]);
    let lines: Vec<String> = logs.read("a").unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, ["{\"whole\":1}"]);
}

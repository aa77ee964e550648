//! How a run was asked: what a reader needs to trust it, or to ask again.

use model::{Language, RunRecord, Summary};

use crate::TextOptions;
use crate::text::closing::some_of;
use crate::words::{grouped, moment, pick, run_duration};

/// Targets, exclusions and ports named.
const NAMED_MAX: usize = 50;

/// Labels and texts; not escaped.
pub(super) fn rows(
    run: Option<&RunRecord>,
    summary: &Summary,
    options: &TextOptions,
) -> Vec<(&'static str, String)> {
    let language = options.language;
    let pick = |en, ja| pick(language, en, ja);
    let mut rows = Vec::new();
    if let Some(run) = run {
        asked(run, language, &mut rows);
    }
    rows.push((pick("run", "実行 ID"), summary.run.to_string()));
    if let Some(run) = run {
        rows.push((pick("began", "開始"), moment(run.timestamp)));
    }
    rows.push((pick("ended", "終了"), moment(summary.timestamp)));
    rows.push((
        pick("took", "所要時間"),
        run_duration(language, summary.duration),
    ));
    let (sent, received) = (
        grouped(summary.packets_sent),
        grouped(summary.packets_received),
    );
    rows.push((
        pick("packets", "パケット"),
        match language {
            Language::English => format!("{sent} sent, {received} received"),
            Language::Japanese => format!("送信 {sent}、受信 {received}"),
        },
    ));
    let complete = if summary.complete {
        pick("yes", "はい")
    } else {
        pick("no: the run broke off", "いいえ（途中で中断）")
    };
    rows.push((pick("complete", "完了"), complete.to_owned()));
    rows
}

fn asked(run: &RunRecord, language: Language, rows: &mut Vec<(&'static str, String)>) {
    let pick = |en, ja| pick(language, en, ja);
    let list = |list: &[String]| some_of(list, NAMED_MAX, language);
    rows.push((pick("targets", "対象"), list(&run.targets)));
    if !run.exclusions.is_empty() {
        rows.push((pick("not asked", "除外"), list(&run.exclusions)));
    }
    let transports = match (run.tcp, run.udp) {
        (true, false) => "tcp",
        (false, true) => "udp",
        (true, true) | (false, false) => pick("tcp and udp", "tcp・udp"),
    };
    let ports: Vec<String> = run.ports.iter().map(u16::to_string).collect();
    rows.push((
        pick("ports", "ポート"),
        format!("{} {transports}", list(&ports)),
    ));
    let vantage = &run.vantage;
    let interface = vantage.interface.as_deref();
    let interface = interface
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    let source = vantage.source.as_deref();
    let source = source.unwrap_or(pick("not known", "不明"));
    rows.push((pick("asked from", "送信元"), format!("{source}{interface}")));
    rows.push((pick("engine", "エンジン"), vantage.engine.clone()));
    let rate = grouped(run.rate_pps);
    rows.push((
        pick("rate", "速度"),
        match language {
            Language::English => format!("at most {rate} packets/s, {} retries", run.retries),
            Language::Japanese => {
                format!("最大 {rate} パケット/秒、再送 {} 回", run.retries)
            }
        },
    ));
    let shard = match run.shard {
        (_, 0 | 1) => String::new(),
        (part, parts) => format!("{}{part}/{parts}", pick(", part ", "、分割 ")),
    };
    rows.push((pick("seed", "シード"), format!("{}{shard}", run.seed)));
    if let Some(earlier) = &run.resumed_from {
        rows.push((pick("goes on from", "再開元"), earlier.clone()));
    }
    rows.push((
        pick("made by", "作成"),
        format!("memsweep {}", run.tool_version),
    ));
}

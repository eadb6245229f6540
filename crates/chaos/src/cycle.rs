//! A run: the cluster comes up, suffers one fault after the other under load, and its history is checked.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::arguments::Arguments;
use crate::check::check;
use crate::cluster::Cluster;
use crate::draw::{Draws, Kind};
use crate::failure::Result;
use crate::history::History;
use crate::load::{Load, Told};
use crate::report::{Row, print_header, print_row, print_summary, print_violations};
use crate::sync;

/// Whether everything held that has to.
pub(crate) async fn run(arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(seed_of_now);
    let temporary = tempfile::Builder::new().prefix("klamm-chaos-").tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    println!("seed {seed}, {} nodes, {} cycles, in {}", arguments.nodes, arguments.cycles, folder.display());
    let outcome = run_in(arguments, seed, &folder).await;
    if arguments.keep || !matches!(outcome, Ok(true)) {
        let kept: PathBuf = temporary.keep();
        println!("logs and data are kept in {}", arguments.folder.as_ref().unwrap_or(&kept).display());
    }
    outcome
}

async fn run_in(arguments: &Arguments, seed: u64, folder: &Path) -> Result<bool> {
    let kinds = arguments.kinds();
    let has_own_disks = kinds.contains(&Kind::FullDisk);
    let mut cluster = Cluster::start(arguments, folder, has_own_disks).await?;
    if let Err(missing) = sync::wait(&cluster.addresses(), arguments.sync_within(), || Ok(())).await? {
        println!("the cluster does not come up: {missing}");
        return Ok(false);
    }
    let admin = cluster.admin()?;
    let load = Load::start(&admin, &cluster.bootstrap(), arguments.producers, arguments.rate).await?;
    let mut draws = Draws::new(seed, arguments.nodes, kinds);
    let mut rows = Vec::new();
    let mut complaints = Vec::new();
    print_header();
    for cycle in 1..=arguments.cycles {
        let row = suffer(&mut cluster, &load, arguments, &mut draws, cycle, &mut complaints).await?;
        print_row(&row);
        let is_in_sync = row.in_sync_after.is_some();
        rows.push(row);
        if !is_in_sync {
            break;
        }
    }
    print_summary(&rows);
    let told = load.finish(&admin).await?;
    let is_clean = judge(told, complaints);
    if is_clean && !arguments.keep {
        cluster.release_disks()?;
    }
    Ok(is_clean)
}

async fn suffer(
    cluster: &mut Cluster,
    load: &Load,
    arguments: &Arguments,
    draws: &mut Draws,
    cycle: u32,
    complaints: &mut Vec<String>,
) -> Result<Row> {
    let draw = draws.draw();
    tokio::time::sleep(draw.after).await;
    for node in cluster.died()? {
        complaints.push(format!("node {node} ended by itself before cycle {cycle}"));
    }
    let controller = cluster.controller().await;
    let before = load.acknowledged();
    load.take_longest_gap();
    cluster.suffer(&draw).await?;
    let addresses = cluster.addresses();
    let in_sync = sync::wait(&addresses, arguments.sync_within(), || cluster.revive_after(&draw)).await?;
    for node in cluster.died()? {
        complaints.push(format!("node {node} ended by itself in cycle {cycle}"));
    }
    if let Err(missing) = &in_sync {
        complaints.push(format!("not in sync after cycle {cycle}: {missing}"));
    }
    Ok(Row {
        cycle,
        draw,
        controller,
        in_sync_after: in_sync.ok(),
        longest_gap: load.take_longest_gap(),
        acknowledged: load.acknowledged() - before,
    })
}

fn judge(told: Told, mut complaints: Vec<String>) -> bool {
    let Told { acknowledged, tailed, stored, unknown, complaints: of_consumer } = told;
    complaints.extend(of_consumer);
    let count = |part: &crate::history::ByPartition| part.values().map(Vec::len).sum::<usize>();
    println!(
        "\nacknowledged {}, without an answer {unknown}, stored {}, read along {}",
        count(&acknowledged),
        count(&stored),
        count(&tailed)
    );
    let violations = check(&History { acknowledged, tailed, stored });
    print_violations(&violations, &complaints);
    let is_clean = violations.is_empty() && complaints.is_empty();
    println!("{}", if is_clean { "every promise was kept" } else { "NOT every promise was kept" });
    is_clean
}

fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.subsec_nanos().into()
}

//! A plan as Kafka's own tool reads and writes it: partitions and their replicas in JSON.

use klamm_client::TopicPartition;
use serde_json::{Value, json};

use crate::partition::placement::Assignment;

/// What a plan's text says; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Assignment, String> {
    let plan: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    match plan.get("version") {
        Some(version) if *version != json!(1) => return Err(format!("version {version} is not known")),
        _ => {}
    }
    let partitions = plan["partitions"].as_array().ok_or("it has no list \"partitions\"")?;
    if partitions.is_empty() {
        return Err("its list \"partitions\" is empty".to_owned());
    }
    let mut assignment = Assignment::new();
    for (at, partition) in partitions.iter().enumerate() {
        let (name, replicas) = entry(partition).map_err(|what| format!("partition entry {at}: {what}"))?;
        if assignment.insert(name.clone(), replicas).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(assignment)
}

fn entry(partition: &Value) -> Result<(TopicPartition, Vec<i32>), String> {
    let topic = partition["topic"].as_str().ok_or("no \"topic\"")?;
    let index = id(&partition["partition"]).ok_or("no \"partition\"")?;
    let replicas = partition["replicas"].as_array().ok_or("no list \"replicas\"")?;
    let replicas: Option<Vec<i32>> = replicas.iter().map(id).collect();
    let replicas = replicas.ok_or("\"replicas\" are ids of brokers")?;
    let mut distinct = replicas.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if replicas.is_empty() || distinct.len() < replicas.len() {
        return Err("\"replicas\" are one or more brokers, each once".to_owned());
    }
    let log_dirs = partition["log_dirs"].as_array().into_iter().flatten();
    if log_dirs.into_iter().any(|directory| directory != "any") {
        return Err("\"log_dirs\" can only be \"any\" here".to_owned());
    }
    Ok((TopicPartition::new(topic, index), replicas))
}

fn id(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|id| i32::try_from(id).ok()).filter(|id| *id >= 0)
}

/// The plan that has these replicas as its outcome.
pub(super) fn as_json<'a>(replicas: impl IntoIterator<Item = (&'a TopicPartition, &'a Vec<i32>)>) -> Value {
    let partition = |(name, replicas): (&TopicPartition, &Vec<i32>)| json!({ "topic": *name.topic, "partition": name.partition, "replicas": replicas });
    json!({ "version": 1, "partitions": replicas.into_iter().map(partition).collect::<Value>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_of_kafkas_tool_are_read() {
        let text = r#"{"version":1,"partitions":[
            {"topic":"b","partition":1,"replicas":[3,1],"log_dirs":["any","any"]},
            {"topic":"a","partition":0,"replicas":[2]}]}"#;
        let plan = parse(text).expect("a plan");
        let expected = [(TopicPartition::new("a", 0), vec![2]), (TopicPartition::new("b", 1), vec![3, 1])];
        assert_eq!(plan, expected.into());
        assert_eq!(parse(&as_json(&plan).to_string()), Ok(plan));
    }

    #[test]
    fn what_is_no_plan_is_said() {
        let table = [
            ("nothing", "no JSON"),
            ("{}", "no list \"partitions\""),
            (r#"{"partitions":[]}"#, "empty"),
            (r#"{"version":2,"partitions":[]}"#, "version 2"),
            (r#"{"partitions":[{"partition":0,"replicas":[1]}]}"#, "entry 0: no \"topic\""),
            (r#"{"partitions":[{"topic":"t","partition":-1,"replicas":[1]}]}"#, "no \"partition\""),
            (r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1,1]}]}"#, "each once"),
            (r#"{"partitions":[{"topic":"t","partition":0,"replicas":["1"]}]}"#, "ids of brokers"),
            (r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1],"log_dirs":["/d"]}]}"#, "log_dirs"),
            (
                r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1]},{"topic":"t","partition":0,"replicas":[2]}]}"#,
                "t-0 is there twice",
            ),
        ];
        for (text, part) in table {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

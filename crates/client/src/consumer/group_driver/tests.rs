//! The group side of a consumer, told what came of its requests; nothing is sent.

use super::*;
use crate::consumer::Consumer;
use crate::consumer::group::subscription;

/// A consumer whose own driver does not get to run, and the group side of one.
struct Member {
    consumer: Consumer,
    driver: GroupDriver,
    requests: JoinSet<DriverEvent>,
    now: i64,
}

impl Member {
    fn new() -> Self {
        let settings = [("bootstrap.servers", "127.0.0.1:1"), ("group.id", "g")];
        let config = ConsumerConfig::from_properties(settings).expect("valid");
        let driver = GroupDriver::new("g", &config);
        let consumer = Consumer::new(config).expect("valid");
        Self { consumer, driver, requests: JoinSet::new(), now: now_ms() }
    }

    fn act(&mut self) {
        self.driver.act(&self.consumer.shared, &mut self.requests, self.now);
    }

    fn handle(&mut self, event: GroupEvent) {
        self.driver.handle(&self.consumer.shared, event, self.now);
    }

    /// Goes through all that comes before the answer to SyncGroup is looked at.
    fn is_given(&mut self, partitions: &[TopicPartition]) {
        self.act();
        self.handle(GroupEvent::CoordinatorFound(Ok(1)));
        self.act();
        let joined =
            Joined { generation: 1, protocol: "range".into(), leader: "other".into(), ..Joined::default() };
        self.handle(GroupEvent::Joined(Ok(Joined { member_id: "me".into(), ..joined })));
        self.act();
        let assignment = subscription::encode_assignment(partitions).expect("encodes");
        self.handle(GroupEvent::Synced(Ok((ErrorCode::NONE, assignment))));
    }
}

#[tokio::test]
async fn what_the_group_gives_too_late_is_not_taken() {
    let given = [TopicPartition::new("t", 0)];
    let mut member = Member::new();
    member.consumer.subscribe(["t"]).expect("a group");
    member.is_given(&given);
    member.act();
    assert_eq!(member.consumer.assignment(), given, "still subscribed");

    let mut member = Member::new();
    member.consumer.subscribe(["t"]).expect("a group");
    member.is_given(&given);
    member.consumer.unsubscribe();
    member.act();
    assert_eq!(member.consumer.assignment(), []);
    assert!(member.consumer.shared.state.lock().notices.is_empty());
}

#[tokio::test]
async fn who_subscribes_again_joins_again() {
    let given = [TopicPartition::new("t", 0)];
    let mut member = Member::new();
    member.consumer.subscribe(["t"]).expect("a group");
    member.is_given(&given);
    member.act();
    member.consumer.unsubscribe();
    member.consumer.subscribe(["t"]).expect("a group");
    member.act();
    assert_eq!(member.driver.membership.identity(), None);
    member.is_given(&given);
    member.act();
    assert_eq!(member.consumer.assignment(), given);
    let state = member.consumer.shared.state.lock();
    assert!(state.notices.iter().all(|notice| matches!(notice, Ok(Event::Assigned(_)))), "nothing was lost");
}

#[tokio::test]
async fn no_topics_are_no_subscription() {
    let mut member = Member::new();
    member.consumer.subscribe(["t"]).expect("a group");
    member.is_given(&[TopicPartition::new("t", 0)]);
    member.act();
    member.consumer.subscribe::<&str>([]).expect("a group");
    member.act();
    assert_eq!(member.consumer.assignment(), []);
}

use std::time::Duration;

use ports::NewMessage;

use super::{LEASE, bodies, dead_letters, keyed, message, publish_dead, receive, receive_one};
use crate::JobQueueFixture;

pub async fn purge_removes_the_messages_of_one_key_in_every_state(fixture: JobQueueFixture) {
    let queue = &*fixture.queue;
    publish_dead(queue, keyed("anna", "dead")).await;
    publish_dead(queue, keyed("berta", "dead, too")).await;
    queue.publish(keyed("anna", "leased")).await.unwrap();
    let leased = receive_one(queue).await;
    queue.publish(keyed("anna", "waiting")).await.unwrap();
    let delayed = NewMessage { delay: Duration::from_secs(5), ..keyed("anna", "delayed") };
    queue.publish(delayed).await.unwrap();
    queue.publish(keyed("berta", "stays")).await.unwrap();
    queue.publish(message("stays, too")).await.unwrap();

    assert_eq!(queue.purge("anna").await.unwrap(), 4);
    assert_eq!(queue.purge("anna").await.unwrap(), 0);
    assert_eq!(queue.purge("nobody").await.unwrap(), 0);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.depth, stats.dead), (2, 1));
    fixture.time.advance(LEASE).await;
    assert_eq!(bodies(&receive(queue).await), ["stays", "stays, too"]);
    let letters = dead_letters(queue, 10).await;
    assert_eq!(letters.iter().map(|letter| &letter.body[..]).collect::<Vec<_>>(), [b"dead, too"]);
    drop(leased);
}

pub async fn a_purged_message_can_still_be_acknowledged(fixture: JobQueueFixture) {
    let queue = &*fixture.queue;
    queue.publish(keyed("anna", "in work")).await.unwrap();
    let lease = receive_one(queue).await;
    assert_eq!(queue.purge("anna").await.unwrap(), 1);
    queue.ack(&lease.receipt).await.unwrap();
    // The key is free again.
    queue.publish(keyed("anna", "new")).await.unwrap();
    assert_eq!(receive_one(queue).await.body, "new");
}

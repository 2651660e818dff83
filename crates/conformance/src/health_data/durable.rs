use std::sync::Arc;

use domain::record::RecordKey;
use ports::{Direction, HealthDataRepository, Precondition, Version, Write};

use super::{all_pages, as_put, commit::race, fresh_user, insert, key, keys, put, query, stored};
use crate::{HealthDataFixture, Reopen};

fn reopen(fixture: &HealthDataFixture) -> &Reopen<dyn HealthDataRepository> {
    fixture.reopen.as_ref().expect("a durable repository's fixture can open it again")
}

pub async fn a_commit_is_there_after_the_store_is_opened_again(mut fixture: HealthDataFixture) {
    let user = fresh_user();
    let expected: Vec<RecordKey> = (0..50).map(|number| key(user, &format!("{number:02}"))).collect();
    for key in &expected {
        insert(&fixture.repository, key).await;
    }
    fixture.repository.commit(vec![Write::delete(expected[7].clone(), Precondition::None)]).await.unwrap();
    put(&fixture.repository, &expected[8], 2, "second").await;

    fixture.repository = reopen(&fixture)().await;
    let pages = all_pages(&fixture.repository, query(user, 10, Direction::Ascending)).await;
    let there: Vec<_> = pages.concat().into_iter().map(|record| record.key).collect();
    assert_eq!(there, [&expected[..7], &expected[8..]].concat());
    assert_eq!(stored(&fixture.repository, &expected[8]).await, as_put(2, "second"));
}

pub async fn a_commit_is_visible_to_another_process_at_once(fixture: HealthDataFixture) {
    let other = reopen(&fixture)().await;
    let [shared] = keys(["shared"]);
    for version in (1..20).step_by(2) {
        put(&fixture.repository, &shared, version, "mine").await;
        assert_eq!(stored(&other, &shared).await, as_put(version, "mine"));
        let condition = Precondition::VersionEquals(Version(version));
        let answer = Write::put(shared.clone(), Version(version + 1), "theirs", condition);
        other.commit(vec![answer]).await.unwrap();
        assert_eq!(stored(&fixture.repository, &shared).await, as_put(version + 1, "theirs"));
    }
}

pub async fn of_two_processes_that_race_on_one_precondition_exactly_one_succeeds(fixture: HealthDataFixture) {
    let other = reopen(&fixture)().await;
    for _ in 0..20 {
        let [contested] = keys(["contested"]);
        let rival = |repository: &Arc<dyn HealthDataRepository>| {
            (Arc::clone(repository), vec![Write::insert(contested.clone(), "x")])
        };
        let winners = race(vec![rival(&fixture.repository), rival(&other)]).await;
        assert_eq!(winners.len(), 1, "the processes {winners:?} succeeded");
    }
}

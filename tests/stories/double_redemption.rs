//! One barcode, several tills: one redemption counts (contract 4, Redemptions).

use passloop_tests::world::World;
use serde_json::Value;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_till_learns_which_redemption_counted() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let counted = world.till_named("till 1").redeem(&pass.barcode).await.expect(201).json();
    world.advance(std::time::Duration::from_secs(5));
    let refused = world.till_named("till 2").redeem(&pass.barcode).await;
    let problem = refused.problem(409, "already_redeemed");
    names_the_one_that_counted(&problem, &counted);
    let by_serial = world.till().redeem_pass(&pass.pass_type, &pass.serial).await;
    names_the_one_that_counted(&by_serial.problem(409, "already_redeemed"), &counted);
    world.end().await;
}

fn names_the_one_that_counted(problem: &Value, counted: &Value) {
    for key in ["redemptionId", "redeemedAt", "location", "till"] {
        assert_eq!(problem[key], counted[key], "{key} in {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_tills_at_once_one_redeems() {
    for _ in 0..3 {
        race(2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_tills_at_once_one_redeems() {
    race(16).await;
}

async fn race(tills: usize) {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let mut sales = JoinSet::new();
    for number in 0..tills {
        let till = world.till_named(&format!("till {number}"));
        let barcode = pass.barcode.clone();
        sales.spawn(async move { till.redeem(&barcode).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = sales.join_all().await.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(won.len(), 1, "{} tills redeemed", won.len());
    let counted = won[0].json();
    for answer in &lost {
        names_the_one_that_counted(&answer.problem(409, "already_redeemed"), &counted);
    }
    assert_eq!(office.get(&pass).await["version"], 2);
    let history = office.history(&pass).await;
    assert_eq!(history.iter().filter(|kind| *kind == "redeemed").count(), 1, "{history:?}");
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    phone.was_content();
    world.end().await;
}

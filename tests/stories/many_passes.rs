//! One phone with very many passes of one type (design 4: past 512 the tag may degrade, but it
//! never loses a change).

use std::collections::BTreeSet;
use std::io::Cursor;

use passloop_tests::back_office::{Issued, PASS_TYPE};
use passloop_tests::web_service::Registration;
use passloop_tests::world::World;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const DEVICE: &str = "collector";
const PASSES: usize = 515;
/// Calls in flight at once.
const AT_ONCE: usize = 8;

/// Lists with a tag; gives the serials and the tag to keep.
async fn list(world: &World, tag: Option<&str>) -> (BTreeSet<String>, Option<String>) {
    let answer = world.web_service().list(DEVICE, PASS_TYPE, tag).await;
    if answer.status == 204 {
        return (BTreeSet::new(), tag.map(str::to_owned));
    }
    let body = answer.expect(200).json();
    let new = body["lastUpdated"].as_str().unwrap();
    assert_ne!(Some(new), tag, "serials with the same tag");
    // The whole request line must fit what servers in between accept, commonly 8 KB.
    assert!(new.len() < 8000, "a tag of {} characters", new.len());
    (serde_json::from_value(body["serialNumbers"].clone()).unwrap(), Some(new.to_owned()))
}

/// The pass's secret, without the reader's checks: other stories make those.
fn authorization(package: &[u8]) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(package)).unwrap();
    let pass: Value = serde_json::from_reader(archive.by_name("pass.json").unwrap()).unwrap();
    format!("ApplePass {}", pass["authenticationToken"].as_str().unwrap())
}

/// Issues passes and registers each on the one device.
async fn collect(world: &World, count: usize) -> Vec<Issued> {
    let mut under_way = JoinSet::new();
    let mut collected = Vec::new();
    for number in 0..count {
        let (office, service, http) = (world.back_office(), world.web_service(), world.http().clone());
        under_way.spawn(async move {
            let pass = office.issue(&format!("Ada {number}")).await;
            let download = passloop_tests::answer::Answer::to(http.get(&pass.download_url)).await.expect(200);
            let of = Registration { device: DEVICE, pass_type: PASS_TYPE, serial: &pass.serial };
            let authorization = authorization(&download.body);
            service.register(of, Some(&authorization), &"ab".repeat(32)).await.expect(201);
            pass
        });
        if under_way.len() >= AT_ONCE {
            collected.push(under_way.join_next().await.unwrap().unwrap());
        }
    }
    collected.extend(under_way.join_all().await);
    collected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_512_passes_of_one_type_no_change_is_lost() {
    let world = World::new().await;
    let office = world.back_office();
    let passes = collect(&world, PASSES).await;
    let (all, tag) = list(&world, None).await;
    assert_eq!(all.len(), PASSES);
    let (nothing, tag) = list(&world, tag.as_deref()).await;
    assert!(nothing.is_empty());
    let mut tag = tag;
    for pass in [&passes[0], &passes[256], &passes[PASSES - 1]] {
        office.patch_holder(pass, json!({ "name": "Augusta" })).await.expect(200);
        let (listed, new) = list(&world, tag.as_deref()).await;
        assert!(listed.contains(&pass.serial));
        assert!(listed.len() < 20, "{} passes listed for one change", listed.len());
        tag = new;
    }
    let (nothing, _) = list(&world, tag.as_deref()).await;
    assert!(nothing.is_empty());
    world.end().await;
}

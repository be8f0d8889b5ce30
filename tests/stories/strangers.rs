//! Who does not know a pass's secret learns nothing about it (contract 3: "401 bad token or unknown pass"): not from status,
//! headers or body, and not from what is done for them, which is what the time of an answer tells.

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::package::Package;
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::web_service::Registration;
use passloop_tests::wiretap::Wiretap;
use passloop_tests::world::{World, root_certificate};
use serde_json::json;

/// More campaigns than are read along with a pass: somewhere a pass is found without its campaign.
const CAMPAIGNS: usize = 6;

/// Every call that wants a pass's secret, with this one.
async fn calls(world: &World, serial: &str, authorization: Option<&str>) -> Vec<(&'static str, Answer)> {
    let service = world.web_service();
    let of = Registration { device: "stranger", pass_type: PASS_TYPE, serial };
    let enrolment = json!({ "personalizationToken": "t", "requiredPersonalizationInfo": {} }).to_string();
    let since = Some("Wed, 25 Nov 2026 10:00:00 GMT");
    vec![
        ("register", service.register(of, authorization, "ab12").await),
        ("unregister", service.unregister(of, authorization).await),
        ("send", service.pass(PASS_TYPE, serial, authorization, None).await),
        ("send since", service.pass(PASS_TYPE, serial, authorization, since).await),
        ("head", service.head(PASS_TYPE, serial, authorization, None).await),
        ("personalize", service.personalize(PASS_TYPE, serial, authorization, enrolment).await),
    ]
}

/// Everything of an answer but what differs between any two.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer.headers.iter().filter(|(name, _)| !["date", "apigw-requestid"].contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort();
    (answer.status, headers, answer.body.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_pass_and_a_wrong_token_are_one_answer() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let other = world.back_office().issue("Bob").await;
    let others_secret = secret_of(&world, &other).await;
    let right = phone.authorization(&pass.serial);
    let wrong = format!("ApplePass {}", "x".repeat(43));
    let strangers: [(&str, Option<&str>); 8] = [
        (&pass.serial, Some(&wrong)),
        (&pass.serial, Some(&others_secret)),
        (&pass.serial, None),
        (&pass.serial, Some("ApplePass")),
        (&pass.serial, Some("Bearer x")),
        ("unknown", Some(&wrong)),
        ("unknown", Some(&right)),
        ("%00", Some(&right)),
    ];
    let mut first = None;
    for (serial, authorization) in strangers {
        let told: Vec<_> =
            calls(&world, serial, authorization).await.iter().map(|(call, answer)| (*call, told(answer))).collect();
        assert!(told.iter().all(|(_, (status, _, body))| *status == 401 && body.is_empty()), "{serial}: {told:?}");
        assert_eq!(first.get_or_insert_with(|| told.clone()), &told, "{serial}, {authorization:?}");
    }
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_much_is_done_for_a_wrong_token_as_for_an_unknown_pass() {
    let underneath = World::empty().await;
    let tap = Wiretap::before(underneath.local().description().aws_endpoint.dynamodb.as_deref().unwrap()).await;
    let world = World::over_dynamodb(&tap.endpoint()).await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    let mut passes = Vec::new();
    for number in 0..CAMPAIGNS {
        let campaign = format!("campaign-{number}");
        office.put_campaign(&campaign, &two_offers()).await.expect(201);
        passes.push(office.issue_of(&campaign, "Ada").await);
    }
    let wrong = format!("ApplePass {}", "x".repeat(43));
    // Nothing of ours runs in between that would be heard, too: queues are idle once this is answered.
    tap.take();
    let mut expected = None;
    for serial in passes.iter().map(|pass| pass.serial.as_str()).chain(["unknown"]) {
        let service = world.web_service();
        let of = Registration { device: "stranger", pass_type: PASS_TYPE, serial };
        let enrolment = json!({ "personalizationToken": "t", "requiredPersonalizationInfo": {} }).to_string();
        let mut work = Vec::new();
        service.register(of, Some(&wrong), "ab12").await.expect(401);
        work.push(tap.take());
        service.unregister(of, Some(&wrong)).await.expect(401);
        work.push(tap.take());
        service.pass(PASS_TYPE, serial, Some(&wrong), None).await.expect(401);
        work.push(tap.take());
        service.personalize(PASS_TYPE, serial, Some(&wrong), enrolment).await.expect(401);
        work.push(tap.take());
        assert!(work.iter().all(|calls| *calls == ["BatchGetItem"]), "{serial}: {work:?}");
        assert_eq!(expected.get_or_insert_with(|| work.clone()), &work, "{serial}");
    }
    // The tap hears: who knows the secret has a campaign read besides.
    let known = secret_of(&world, &passes[0]).await;
    tap.take();
    world.web_service().pass(PASS_TYPE, &passes[0].serial, Some(&known), None).await.expect(200);
    assert!(!tap.take().is_empty());
    world.end().await;
    underneath.end().await;
}

/// What a phone that downloads the pass sends from then on.
async fn secret_of(world: &World, pass: &Issued) -> String {
    let package = world.download(pass).await;
    let package = Package::open(&package.body, &root_certificate()).unwrap();
    format!("ApplePass {}", package.text("authenticationToken"))
}

/// What holders, tills and merchants write is text wherever it appears (pass.json, translations, landing page, mail, errors).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_somebody_is_called_stays_a_name() {
    const NAMES: [&str; 7] = [
        "\"; alert(1); \"",
        "</title></style><script>alert(1)</script>",
        "{{ pass.barcode }}",
        "\\\", \"webServiceURL\": \"https://evil.example",
        "\u{2028}\u{2029}\u{202e}\n\"offer\" = \"free\";",
        "javascript:alert(1)' onerror='alert(1)",
        "%@ %1$@ &lt;b&gt; <b>bold</b>",
    ];
    let world = World::empty().await;
    let office = world.back_office();
    let folder =
        TemplateFolder::coupon().with("de.lproj/pass.strings", "\"Offer\" = \"Angebot f\u{fc}r {{ holder.name }}\";\n");
    for (number, name) in NAMES.iter().enumerate() {
        let id = format!("c{number}");
        let folder = folder.clone().edit(|pass| pass["organizationName"] = json!(name.replace("{{", "{ {")));
        office.put_template(&id, &folder).await.expect(201);
        let mut campaign = two_offers();
        campaign["templateId"] = json!(id);
        campaign["offers"][0]["title"] = json!(name);
        office.put_campaign(&id, &campaign).await.expect(201);
        let pass = office.issue_of(&id, name).await;

        let package = Package::open(&world.download(&pass).await.body, &root_certificate());
        let package = match package {
            Ok(package) => package,
            // The reader of packages suspects every `{{`: here one is a name.
            Err(problems) => {
                assert!(
                    name.contains("{{") && problems.iter().all(|problem| problem.contains("placeholder")),
                    "{problems:?}"
                );
                continue;
            }
        };
        assert_eq!((package.value("holder"), package.value("offer")), (json!(name), json!(name)), "{name}");
        assert_eq!(package.text("webServiceURL"), world.base());
        let mail = office.mail(&pass, "", "en").await.expect(200).json();
        let subject = mail["subject"].as_str().unwrap();
        // A line break would be another header of the mail.
        assert!(!subject.chars().any(char::is_control), "{subject:?}");
        let page = Answer::to(world.http().get(&pass.landing_url)).await.expect(200).text();
        for html in [page.as_str(), mail["html"].as_str().unwrap()] {
            for markup in ["<script>alert", "<b>bold", "' onerror='", "</title></style>"] {
                assert!(!html.contains(markup), "{markup} in {html}");
            }
        }
        // An error that repeats what was sent is JSON, and is no page.
        let refused = office.post_pass(&json!({ "campaignId": name, "holder": {} })).await;
        refused.any_problem(&[400, 404, 422]);
        assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    }
    world.end().await;
}

#![allow(missing_docs, clippy::unwrap_used)]
use openssl::{md::Md, pkey::PKey, pkey_ctx::PkeyCtx, rsa::Padding};
use passkit::signing::SigningIdentity;
use passloop_benchmarks::{
    fixture,
    measure::{Contender, in_turns},
};
use std::time::Duration;

fn main() {
    let dir = std::env::var("BENCH_IDENTITY").unwrap();
    let read = |name: &str| std::fs::read(format!("{dir}/{name}")).unwrap();
    let identity = || {
        SigningIdentity::from_parts(
            &read("leaf.pem"),
            &read("key.pem"),
            None,
            &[read("wwdr.pem")],
            jiff::Timestamp::now(),
        )
        .unwrap()
    };
    let archive = fixture::template_zip();
    let template = fixture::template(&archive);
    let images: usize = template.files().values().map(|f| f.bytes.len()).sum();
    let look = fixture::look(&template);
    let mut builder = fixture::Builder::new(look, identity());
    let package = builder.build();
    std::fs::write("/tmp/w/perf-bench.pkpass", &package).unwrap();
    println!("template {} files {} package {}", archive.len(), images, package.len());
    let key = PKey::private_key_from_pem(&read("key.pem")).unwrap();
    let mut context = PkeyCtx::new(&key).unwrap();
    context.sign_init().unwrap();
    context.set_rsa_padding(Padding::PKCS1).unwrap();
    context.set_signature_md(Md::sha256()).unwrap();
    let mut signature = vec![0; 256];
    let id = identity();
    let manifest = vec![b'x'; 800];
    let rounds: usize = std::env::var("ROUNDS").map_or(15, |r| r.parse().unwrap());
    let look2 = fixture::look(&template);
    let serial: passkit::identifiers::SerialNumber = "pass-0000000001".parse().unwrap();
    let token = passkit::secrets::AuthenticationToken::new("vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFd");
    let holder = serde_json::json!({"name": "Ada Lovelace"});
    let barcode = passkit::secrets::Barcode::new("u7ZDq8QmPz3vC1xW");
    let render = || {
        look2.render(&passkit::look::Inputs {
            pass_type_identifier: id.pass_type_identifier(),
            team_identifier: id.team_identifier(),
            serial_number: &serial,
            authentication_token: &token,
            web_service_url: "https://passes.example.com",
            barcode: Some(&barcode),
            holder: &holder,
            remaining: Some(1),
            redemptions: 0,
            personalization: passkit::personalization::Personalization::Done,
        })
    };
    let rendered = render();
    println!("pass.json {}", rendered.pass_json().len());
    let measured = in_turns(
        rounds,
        Duration::from_millis(100),
        &mut [
            Contender::new("raw", || {
                context.sign(&[7; 32], Some(&mut signature)).unwrap();
            }),
            Contender::new("build", || {
                std::hint::black_box(builder.build());
            }),
            Contender::new("sign", || {
                std::hint::black_box(id.sign(&manifest, jiff::Timestamp::now()).unwrap());
            }),
            Contender::new("render", || {
                std::hint::black_box(render());
            }),
            Contender::new("package", || {
                std::hint::black_box(rendered.package(&[0; 2700]).unwrap());
            }),
            Contender::new("prepare", || {
                std::hint::black_box(fixture::look(&fixture::template(&archive)));
            }),
        ],
    );
    for m in &measured {
        println!(
            "{:10} cpu {:?} wall {:?} ratio {:.3}",
            m.name,
            m.cpu,
            m.wall,
            measured[0].cpu.as_secs_f64() / m.cpu.as_secs_f64()
        );
    }
}

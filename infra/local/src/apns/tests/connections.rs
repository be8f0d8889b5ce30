//! Connections: opened once, shared, replaced when they end, refused when they prove nothing (2.1).

use super::*;

#[tokio::test]
async fn shutdown_and_idle_timeout_move_the_push_to_a_new_connection() {
    for (status, name) in [(503, "Shutdown"), (400, "IdleTimeout")] {
        let world = World::start().await;
        world.stand_in.answer_next(&token(1), 1, status, name, None);
        assert_accepted(&world.push(&token(1)).await);
        let connections: Vec<_> = world.stand_in.pushes().iter().map(|push| push.connection).collect();
        assert_eq!(connections, [1, 2], "{name}");
    }
}

#[tokio::test]
async fn a_push_is_moved_only_once() {
    let world = World::start().await;
    world.stand_in.answer(&token(1), 503, "Shutdown", None);
    assert_eq!(action(&world.push(&token(1)).await), "retry");
    assert_eq!(world.stand_in.pushes().len(), 2);
}

#[tokio::test]
async fn a_refused_certificate_closes_the_connection() {
    let world = World::start().await;
    // 2.4: stop all sending, alarm, close connections.
    world.stand_in.answer_next(&token(1), 1, 403, "BadCertificateEnvironment", None);
    assert_eq!(action(&world.push(&token(1)).await), "stop");
    assert_accepted(&world.push(&token(2)).await);
    assert_eq!(world.stand_in.connections(), 2);
}

#[tokio::test]
async fn after_goaway_the_next_push_opens_a_new_connection() {
    let world = World::start().await;
    assert_accepted(&world.push(&token(1)).await);
    world.stand_in.go_away();
    assert_accepted(&world.push(&token(2)).await);
    assert_accepted(&world.push(&token(3)).await);
    let connections: Vec<_> = world.stand_in.pushes().iter().map(|push| push.connection).collect();
    assert!(matches!(connections.as_slice(), [1, 1 | 2, 2]), "{connections:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goaway_amid_many_pushes_loses_none() {
    let world = World::start().await;
    assert_accepted(&world.push(&token(0)).await);
    let tokens: Vec<String> = (1..=400).map(token).collect();
    let pushes = join_all(tokens.iter().map(|token| world.push(token)));
    let go_away = async {
        world.stand_in.wait_for(&token(40), 1, LONG_ENOUGH).await;
        world.stand_in.go_away();
    };
    let (outcomes, ()) = tokio::join!(pushes, go_away);
    outcomes.iter().for_each(assert_accepted);
    for token in &tokens {
        assert!(!world.stand_in.wait_for(token, 1, Duration::ZERO).await.is_empty(), "one push never arrived");
    }
}

#[tokio::test]
async fn a_killed_apns_that_comes_back_is_found_again() {
    let World { stand_in: first, apns, identity, topic, directory } = World::start().await;
    let address = first.address;
    let device = PushToken::new(token(1));
    let push = Push::new(&device, &topic, NOW);
    assert_accepted(&apns.push(&identity, &push).await);

    first.kill().await;
    let outcome = apns.push(&identity, &push).await;
    assert!(
        matches!(
            &outcome,
            PushOutcome::Retry { reason: Reason::Connection(ConnectionTrouble::Connect(_)), after: None }
        ),
        "{outcome:?}"
    );

    let second = stand_in(&directory, address).await.unwrap();
    assert_accepted(&apns.push(&identity, &push).await);
    assert_eq!(second.pushes().len(), 1);
}

#[tokio::test]
async fn a_socket_that_died_unnoticed_costs_no_push() {
    let World { stand_in: first, apns, identity, topic, directory } = World::start().await;
    let address = first.address;
    let device = PushToken::new(token(1));
    let push = Push::new(&device, &topic, NOW);
    assert_accepted(&apns.push(&identity, &push).await);

    // As after a freeze: by the time of the next push the peer has gone and come back.
    first.kill().await;
    let second = stand_in(&directory, address).await.unwrap();
    assert_accepted(&apns.push(&identity, &push).await);
    assert_eq!(second.pushes().len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_push_is_replaced() {
    let world = World::start().await;
    let device = token(1);
    world.stand_in.keep_waiting(&device);
    let break_once = async {
        world.stand_in.wait_for(&device, 1, LONG_ENOUGH).await;
        world.stand_in.answer_normally(&device);
        world.stand_in.break_off();
    };
    let (outcome, ()) = tokio::join!(world.push(&device), break_once);
    assert_accepted(&outcome);
    let connections: Vec<_> = world.stand_in.pushes().iter().map(|push| push.connection).collect();
    assert_eq!(connections, [1, 2]);
}

#[tokio::test]
async fn a_push_that_breaks_twice_is_for_later_and_shows_no_token() {
    let world = World::start().await;
    let device = "5ec4e7".repeat(11);
    world.stand_in.keep_waiting(&device);
    let break_twice = async {
        for count in 1..=2 {
            world.stand_in.wait_for(&device, count, LONG_ENOUGH).await;
            world.stand_in.break_off();
        }
    };
    let (outcome, ()) = tokio::join!(world.push(&device), break_twice);
    assert!(
        matches!(&outcome, PushOutcome::Retry { reason: Reason::Connection(ConnectionTrouble::Broken(_)), .. }),
        "{outcome:?}"
    );
    let pushes = world.stand_in.pushes();
    assert_eq!(pushes.len(), 2);
    let shown = format!("{outcome:?} {} {:?} {pushes:?}", reason(&outcome).unwrap(), world.apns);
    assert!(!shown.contains("5ec4e7"), "{shown}");
}

#[tokio::test]
async fn a_certificate_of_another_root_is_refused_in_the_handshake() {
    let world = World::start().await;
    let stranger = identity_of(&STRANGER.pass, &STRANGER);
    let outcome = world.push_as(&stranger, &token(1)).await;
    assert!(
        matches!(&outcome, PushOutcome::Stop { reason: Reason::Connection(ConnectionTrouble::CertificateRefused(_)) }),
        "{outcome:?}"
    );
    assert_eq!(world.stand_in.pushes().len(), 0);
    // The right identity is not touched by it.
    assert_accepted(&world.push(&token(1)).await);
}

#[tokio::test]
async fn an_endpoint_that_proves_nothing_gets_no_push() {
    let world = World::start().await;
    let settings = ApnsSettings { endpoint: world.stand_in.endpoint().parse().unwrap(), extra_roots_pem: None };
    let Ok(apns) = Apns::new(settings) else {
        // A machine without any system roots: nothing to trust is refused even earlier.
        return;
    };
    let device = PushToken::new(token(1));
    let outcome = apns.push(&world.identity, &Push::new(&device, &world.topic, NOW)).await;
    assert!(
        matches!(&outcome, PushOutcome::Stop { reason: Reason::Connection(ConnectionTrouble::EndpointNotTrusted(_)) }),
        "{outcome:?}"
    );
    assert_eq!(world.stand_in.connections(), 0);
}

#[tokio::test]
async fn one_push_after_the_other_does_not_wait_for_acknowledgements() {
    let world = World::start().await;
    assert_accepted(&world.push(&token(0)).await);
    // With Nagle's algorithm on, each would take 40 milliseconds (performance notes, part C): four seconds in all.
    let hundred = async {
        for number in 1..=100 {
            assert_accepted(&world.push(&token(number)).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(2), hundred).await.expect("TCP_NODELAY is not set");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_first_pushes_share_one_connection() {
    let world = World::start().await;
    let tokens: Vec<String> = (0..500).map(token).collect();
    let outcomes = join_all(tokens.iter().map(|token| world.push(token))).await;
    outcomes.iter().for_each(assert_accepted);
    assert_eq!(world.stand_in.connections(), 1);
    assert_eq!(world.stand_in.pushes().len(), 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_beyond_the_stream_limit_wait_for_a_slot() {
    let world = World::start().await;
    // 2.1: obey SETTINGS; the stand-in allows 1,000 streams and resets what comes beyond.
    let tokens: Vec<String> = (0..2_500).map(token).collect();
    let outcomes = join_all(tokens.iter().map(|token| world.push(token))).await;
    outcomes.iter().for_each(assert_accepted);
    assert_eq!(world.stand_in.connections(), 1);
}

#[tokio::test]
async fn each_identity_has_its_own_connection() {
    let world = World::start().await;
    let renewed = identity_of(&CHAIN.wwdr.issue(TOPIC, TEAM, Validity::LEAF).unwrap(), &CHAIN);
    for identity in [&world.identity, &renewed, &world.identity, &renewed] {
        assert_accepted(&world.push_as(identity, &token(1)).await);
    }
    let connections: Vec<_> = world.stand_in.pushes().iter().map(|push| push.connection).collect();
    assert_eq!(connections, [1, 2, 1, 2]);
}

#[tokio::test]
async fn a_failed_connection_fails_all_who_waited_for_it() {
    let world = World::start().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let apns = client(&format!("https://{}", listener.local_addr().unwrap()), world.stand_in.ca_path());
    let device = PushToken::new(token(1));
    let push = Push::new(&device, &world.topic, NOW);
    let slam_the_door = async {
        drop(listener.accept().await.unwrap());
        // Nobody accepts from here on: a second attempt would run into its time limit.
        std::future::pending::<()>().await;
    };
    let outcomes = tokio::select! {
        outcomes = join_all((0..100).map(|_| apns.push(&world.identity, &push))) => outcomes,
        () = slam_the_door => unreachable!("pending"),
    };
    assert!(outcomes.iter().all(|outcome| action(outcome) == "retry"), "{outcomes:?}");
    let again = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(again.is_err(), "a second connection was attempted");
}

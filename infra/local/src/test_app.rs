//! An app for tests of what calls functions, when the functions themselves touch nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use platform::{App, Config};

/// An app whose every endpoint is a closed port.
pub(crate) async fn app_without_cloud() -> Arc<App> {
    let variables = BTreeMap::from([
        ("TABLE_NAME", "passloop"),
        ("BUCKET_NAME", "passloop-packages"),
        ("PUSH_QUEUE_URL", "http://127.0.0.1:9/push"),
        ("FOLLOW_UP_QUEUE_URL", "http://127.0.0.1:9/follow-up"),
        ("WEBHOOK_QUEUE_URL", "http://127.0.0.1:9/webhook"),
        ("PUBLIC_URL", "http://127.0.0.1:9"),
        ("SIGNING_IDENTITIES", "file:/nowhere"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]);
    let config = Config::from_variables(|name| variables.get(name).map(|value| (*value).to_owned())).unwrap();
    let sdk = platform::app::sdk_config(&config.aws);
    Arc::new(App::new(config, &sdk))
}

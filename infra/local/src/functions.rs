//! Every function of the service.

use platform::Function;

/// The function of this name: for whoever calls one without its door, to measure it.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Every function that `template.yaml` may name, by name.
pub(crate) const FUNCTIONS: &[Function] = &[
    follow_up::FUNCTION,
    get_openapi::FUNCTION,
    get_pass::FUNCTION,
    get_pass_history::FUNCTION,
    get_pass_mail::FUNCTION,
    issue_pass::FUNCTION,
    list_updatable_passes::FUNCTION,
    log_message::FUNCTION,
    make_bundle::FUNCTION,
    mend_path::FUNCTION,
    open_link::FUNCTION,
    personalize_pass::FUNCTION,
    preview_campaign::FUNCTION,
    push_updates::FUNCTION,
    put_campaign::FUNCTION,
    put_template::FUNCTION,
    redeem_pass::FUNCTION,
    register_pass::FUNCTION,
    renew_link::FUNCTION,
    revoke_link::FUNCTION,
    send_updated_pass::FUNCTION,
    sweep::FUNCTION,
    unregister_pass::FUNCTION,
    update_pass::FUNCTION,
    void_pass::FUNCTION,
    erase_pass::FUNCTION,
    cancel_update::FUNCTION,
    get_update::FUNCTION,
    list_updates::FUNCTION,
    schedule_update::FUNCTION,
    get_campaign_report::FUNCTION,
    get_redemption::FUNCTION,
    reverse_redemption::FUNCTION,
    make_key::FUNCTION,
    list_keys::FUNCTION,
    revoke_key::FUNCTION,
    get_template::FUNCTION,
    list_templates::FUNCTION,
    get_campaign::FUNCTION,
    list_campaigns::FUNCTION,
    list_passes::FUNCTION,
    make_batch::FUNCTION,
    start_batch::FUNCTION,
    get_batch::FUNCTION,
    get_batch_results::FUNCTION,
    cancel_batch::FUNCTION,
    work_batch::FUNCTION,
    put_webhook::FUNCTION,
    get_webhook::FUNCTION,
    list_webhooks::FUNCTION,
    delete_webhook::FUNCTION,
    rotate_webhook_secret::FUNCTION,
    test_webhook::FUNCTION,
    replay_webhook::FUNCTION,
    list_deliveries::FUNCTION,
    send_webhooks::FUNCTION,
];

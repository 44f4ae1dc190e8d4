DROP VIEW plugin_status;
DROP TRIGGER rights_notify ON build_rights;
DROP TRIGGER artifacts_notify ON artifacts;
DROP TRIGGER answers_notify ON rollout_answers;
DROP TRIGGER rollouts_notify ON rollouts;
DROP TRIGGER tokens_notify ON api_tokens;
DROP TRIGGER journal_notify ON plugin_journal;
DROP TRIGGER quarantine_decide ON plugin_quarantine;
DROP TRIGGER plugins_note ON plugins;
DROP TRIGGER plugins_notify ON plugins;
DROP TRIGGER plugins_decide ON plugins;
DROP FUNCTION notify_camlock(), decide_quarantine(), note_plugin_decision(), notify_plugin_change(), decide_plugin(),
    camlock_node(), camlock_actor();

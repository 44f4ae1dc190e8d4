DROP TABLE api_tokens, rollout_answers, rollouts, node_plugins, nodes, build_rights, artifact_bytes, artifacts, plugin_journal,
    plugin_quarantine, plugin_endpoints, plugins;
DROP SEQUENCE plugin_revisions;

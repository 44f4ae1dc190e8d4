DROP TABLE secrets_key;
DROP TABLE plugin_secrets;
DROP FUNCTION decide_secrets();

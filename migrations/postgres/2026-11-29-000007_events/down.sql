DROP TABLE event_dead;
DROP TABLE subscriptions;
DROP TABLE event_heads;
DROP TABLE events;

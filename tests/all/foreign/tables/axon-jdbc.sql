-- The table of Axon Framework 4's JDBC storage engine, as documented.
CREATE TABLE IF NOT EXISTS DomainEventEntry (
  globalIndex BIGSERIAL NOT NULL,
  aggregateIdentifier VARCHAR(255) NOT NULL,
  sequenceNumber BIGINT NOT NULL,
  type VARCHAR(255),
  eventIdentifier VARCHAR(255) NOT NULL,
  metaData bytea,
  payload bytea NOT NULL,
  payloadRevision VARCHAR(255),
  payloadType VARCHAR(255) NOT NULL,
  timeStamp VARCHAR(255) NOT NULL,
  PRIMARY KEY (globalIndex),
  UNIQUE (aggregateIdentifier, sequenceNumber),
  UNIQUE (eventIdentifier)
);
INSERT INTO DomainEventEntry (aggregateIdentifier, sequenceNumber, type, eventIdentifier, metaData, payload, payloadType, timeStamp)
VALUES ('a', 0, 'Order', 'e1', '{}', '{"amount": 2}', 'Placed', '2026-01-02T03:04:05.678Z'),
       ('a', 1, NULL, 'e2', '{}', '{}', 'Paid', '2026-01-02T03:04:06.678Z');

-- What gateways and telephones ask of anchored media: encryption, and how digits come.

ALTER TABLE gateway
    -- What is offered to it (RFC 4568).
    ADD COLUMN srtp  text NOT NULL DEFAULT 'off' CHECK (srtp IN ('off', 'offered', 'required')),
    ADD COLUMN dtmf  text NOT NULL DEFAULT 'passed' CHECK (dtmf IN ('passed', 'telephone-event', 'info'));  -- as it takes digits

ALTER TABLE ip_device
    ADD COLUMN srtp  text NOT NULL DEFAULT 'offered' CHECK (srtp IN ('off', 'offered', 'required')),
    ADD COLUMN dtmf  text NOT NULL DEFAULT 'passed' CHECK (dtmf IN ('passed', 'telephone-event', 'info'));

ALTER TABLE sip_user
    ADD COLUMN srtp  text NOT NULL DEFAULT 'offered' CHECK (srtp IN ('off', 'offered', 'required')),
    ADD COLUMN dtmf  text NOT NULL DEFAULT 'passed' CHECK (dtmf IN ('passed', 'telephone-event', 'info'));

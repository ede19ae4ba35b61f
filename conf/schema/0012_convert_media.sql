-- What gateways and telephones ask of anchored media: encryption, and how digits come.

ALTER TABLE gateway
    ADD COLUMN srtp  text NOT NULL DEFAULT 'off' CHECK (srtp IN ('off', 'required')),      -- what is offered to it (RFC 4568)
    ADD COLUMN dtmf  text NOT NULL DEFAULT 'passed' CHECK (dtmf IN ('passed', 'telephone-event', 'info'));  -- as it takes digits

ALTER TABLE ip_device
    ADD COLUMN srtp  text NOT NULL DEFAULT 'off' CHECK (srtp IN ('off', 'required')),
    ADD COLUMN dtmf  text NOT NULL DEFAULT 'passed' CHECK (dtmf IN ('passed', 'telephone-event', 'info'));

ALTER TABLE sip_user
    ADD COLUMN srtp  text NOT NULL DEFAULT 'off' CHECK (srtp IN ('off', 'required')),
    ADD COLUMN dtmf  text NOT NULL DEFAULT 'passed' CHECK (dtmf IN ('passed', 'telephone-event', 'info'));

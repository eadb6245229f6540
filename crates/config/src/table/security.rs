//! Authorization, TLS, SASL and delegation tokens.

use crate::setting::settings;

settings! { pub(super) SECURITY:
    string "authorizer.class.name" = "", any, read_only, later:
        "Class that decides what clients may do.";
    long "connections.max.reauth.ms" = "0", any, read_only, later:
        "A SASL session older than this must log in again; 0 never.";
    int "sasl.server.max.receive.size" = "524288", any, read_only, later:
        "Largest message accepted during a SASL login.";
    string "security.providers" = null, any, read_only, moot:
        "Classes that provide security algorithms.";
    class "principal.builder.class" = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", any, per_broker, later:
        "Class that makes a principal from an authenticated connection.";
    string "ssl.client.auth" = "none", one_of("required", "requested", "none"), per_broker, later:
        "Whether clients must show a certificate: `required`, `requested` or `none`.";
    string "ssl.principal.mapping.rules" = "DEFAULT", any, read_only, later:
        "Rules that turn a certificate's distinguished name into a user name.";
    boolean "ssl.allow.dn.changes" = "false", any, read_only, later:
        "Let a new certificate have another distinguished name.";
    boolean "ssl.allow.san.changes" = "false", any, read_only, later:
        "Let a new certificate have other alternative names.";
    string "ssl.protocol" = "TLSv1.3", any, per_broker, later:
        "TLS version to start with.";
    string "ssl.provider" = null, any, per_broker, later:
        "Java security provider for TLS.";
    list "ssl.enabled.protocols" = "TLSv1.2,TLSv1.3", any, per_broker, later:
        "TLS versions accepted.";
    string "ssl.keystore.type" = "JKS", any, per_broker, later:
        "Format of the key store: JKS, PKCS12 or PEM.";
    string "ssl.keystore.location" = null, any, per_broker, later:
        "File with the key store.";
    password "ssl.keystore.password" = null, any, per_broker, later:
        "Password of the key store.";
    password "ssl.key.password" = null, any, per_broker, later:
        "Password of the private key.";
    password "ssl.keystore.key" = null, any, per_broker, later:
        "Private key in PEM, in place of a file.";
    password "ssl.keystore.certificate.chain" = null, any, per_broker, later:
        "Certificate chain in PEM, in place of a file.";
    string "ssl.truststore.type" = "JKS", any, per_broker, later:
        "Format of the trust store: JKS, PKCS12 or PEM.";
    string "ssl.truststore.location" = null, any, per_broker, later:
        "File with the trust store.";
    password "ssl.truststore.password" = null, any, per_broker, later:
        "Password of the trust store.";
    password "ssl.truststore.certificates" = null, any, per_broker, later:
        "Trusted certificates in PEM, in place of a file.";
    string "ssl.keymanager.algorithm" = "SunX509", any, per_broker, later:
        "Java algorithm of the key manager.";
    string "ssl.trustmanager.algorithm" = "PKIX", any, per_broker, later:
        "Java algorithm of the trust manager.";
    string "ssl.endpoint.identification.algorithm" = "https", any, per_broker, later:
        "How a server's host name is checked; empty does not check it.";
    string "ssl.secure.random.implementation" = null, any, per_broker, later:
        "Java's random number source for TLS.";
    list "ssl.cipher.suites" = "", any, per_broker, later:
        "Cipher suites accepted; empty accepts the defaults.";
    class "ssl.engine.factory.class" = null, any, per_broker, later:
        "Class that makes TLS engines.";
    string "sasl.mechanism.inter.broker.protocol" = "GSSAPI", any, per_broker, later:
        "SASL mechanism between brokers.";
    list "sasl.enabled.mechanisms" = "GSSAPI", any, per_broker, later:
        "SASL mechanisms offered to clients.";
    class "sasl.server.callback.handler.class" = null, any, read_only, later:
        "Class that checks SASL logins.";
    list "sasl.kerberos.principal.to.local.rules" = "DEFAULT", any, per_broker, later:
        "Rules that turn a Kerberos principal into a user name.";
    password "sasl.jaas.config" = null, any, per_broker, later:
        "Login modules and their options, in the JAAS format.";
    class "sasl.client.callback.handler.class" = null, any, read_only, later:
        "Class that supplies this broker's own SASL credentials.";
    class "sasl.login.class" = null, any, read_only, later:
        "Class that logs this broker in.";
    class "sasl.login.callback.handler.class" = null, any, read_only, later:
        "Class that supplies credentials for that login.";
    string "sasl.kerberos.service.name" = null, any, per_broker, later:
        "Kerberos service name that brokers run as.";
    string "sasl.kerberos.kinit.cmd" = "/usr/bin/kinit", any, per_broker, later:
        "Path of `kinit`.";
    double "sasl.kerberos.ticket.renew.window.factor" = "0.8", any, per_broker, later:
        "Part of a ticket's life after which it is renewed.";
    double "sasl.kerberos.ticket.renew.jitter" = "0.05", any, per_broker, later:
        "Random part added to the time of renewal.";
    long "sasl.kerberos.min.time.before.relogin" = "60000", any, per_broker, later:
        "Shortest time between two tries to renew a ticket.";
    double "sasl.login.refresh.window.factor" = "0.8", any, per_broker, later:
        "Part of a credential's life after which it is refreshed.";
    double "sasl.login.refresh.window.jitter" = "0.05", any, per_broker, later:
        "Random part added to the time of refresh.";
    short "sasl.login.refresh.min.period.seconds" = "60", any, per_broker, later:
        "Shortest time between two refreshes of a credential.";
    short "sasl.login.refresh.buffer.seconds" = "300", any, per_broker, later:
        "Time kept free before a credential ends when it is refreshed.";
    int "sasl.login.connect.timeout.ms" = null, any, read_only, later:
        "Connect timeout to the identity provider.";
    int "sasl.login.read.timeout.ms" = null, any, read_only, later:
        "Read timeout from the identity provider.";
    long "sasl.login.retry.backoff.max.ms" = "10000", any, read_only, later:
        "Longest wait between two tries to log in at the identity provider.";
    long "sasl.login.retry.backoff.ms" = "100", any, read_only, later:
        "First wait between two tries to log in at the identity provider.";
    class "sasl.oauthbearer.jwt.retriever.class" = "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", any, read_only, later:
        "Class that fetches tokens.";
    class "sasl.oauthbearer.jwt.validator.class" = "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", any, read_only, later:
        "Class that checks tokens.";
    string "sasl.oauthbearer.scope" = null, any, read_only, later:
        "Scope asked for in token requests.";
    string "sasl.oauthbearer.client.credentials.client.id" = null, any, read_only, later:
        "Client id in token requests.";
    password "sasl.oauthbearer.client.credentials.client.secret" = null, any, read_only, later:
        "Client secret in token requests.";
    string "sasl.oauthbearer.assertion.algorithm" = "RS256", one_of_any_case("ES256", "RS256"), read_only, later:
        "Algorithm that signs assertions: RS256 or ES256.";
    string "sasl.oauthbearer.assertion.claim.aud" = null, any, read_only, later:
        "Audience claim of assertions.";
    int "sasl.oauthbearer.assertion.claim.exp.seconds" = "300", between(0, 86_400), read_only, later:
        "How long an assertion is valid.";
    string "sasl.oauthbearer.assertion.claim.iss" = null, any, read_only, later:
        "Issuer claim of assertions.";
    boolean "sasl.oauthbearer.assertion.claim.jti.include" = "false", any, read_only, later:
        "Give each assertion a unique id.";
    int "sasl.oauthbearer.assertion.claim.nbf.seconds" = "60", between(0, 3600), read_only, later:
        "How far in the past an assertion's validity begins.";
    string "sasl.oauthbearer.assertion.claim.sub" = null, any, read_only, later:
        "Subject claim of assertions.";
    string "sasl.oauthbearer.assertion.file" = null, any, read_only, later:
        "File with a ready-made assertion.";
    string "sasl.oauthbearer.assertion.private.key.file" = null, any, read_only, later:
        "PEM file with the key that signs assertions.";
    password "sasl.oauthbearer.assertion.private.key.passphrase" = null, any, read_only, later:
        "Passphrase of that key.";
    string "sasl.oauthbearer.assertion.template.file" = null, any, read_only, later:
        "File with headers and claims for assertions.";
    string "sasl.oauthbearer.scope.claim.name" = "scope", any, read_only, later:
        "Name of the claim that holds the scope.";
    string "sasl.oauthbearer.sub.claim.name" = "sub", any, read_only, later:
        "Name of the claim that holds the subject.";
    string "sasl.oauthbearer.token.endpoint.url" = null, any, read_only, later:
        "Where tokens are fetched.";
    string "sasl.oauthbearer.jwks.endpoint.url" = null, any, read_only, later:
        "Where the keys that sign tokens are fetched.";
    long "sasl.oauthbearer.jwks.endpoint.refresh.ms" = "3600000", any, read_only, later:
        "How often those keys are fetched again.";
    long "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" = "100", any, read_only, later:
        "First wait between two tries to fetch them.";
    long "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" = "10000", any, read_only, later:
        "Longest wait between two tries to fetch them.";
    int "sasl.oauthbearer.clock.skew.seconds" = "30", any, read_only, later:
        "How far the identity provider's clock may differ.";
    boolean "sasl.oauthbearer.allow.unverified.audience" = "false", any, read_only, later:
        "Accept tokens without checking their audience.";
    list "sasl.oauthbearer.expected.audience" = "", any, read_only, later:
        "Audiences that tokens may be for.";
    boolean "sasl.oauthbearer.allow.unverified.issuer" = "false", any, read_only, later:
        "Accept tokens without checking their issuer.";
    string "sasl.oauthbearer.expected.issuer" = null, any, read_only, later:
        "Issuer that tokens must come from.";
    password "delegation.token.secret.key" = null, any, read_only, later:
        "Key that signs delegation tokens; the same on all nodes.";
    long "delegation.token.max.lifetime.ms" = "604800000", at_least(1), read_only, later:
        "Longest life of a delegation token, renewals included.";
    long "delegation.token.expiry.time.ms" = "86400000", at_least(1), read_only, later:
        "Life of a delegation token until its next renewal.";
    long "delegation.token.expiry.check.interval.ms" = "3600000", at_least(1), read_only, later:
        "How often expired delegation tokens are removed.";
}

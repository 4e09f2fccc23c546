//! The help text.

/// The help text for a server that is called as `program`, in nats-server's layout.
pub fn usage(program: &str) -> String {
    format!("\nUsage: {program} [options]\n{OPTIONS}")
}

/// The help text about the `tls` block.
pub fn usage_tls() -> &'static str {
    TLS
}

const TLS: &str = "
TLS is configured in the tls section of a configuration file:

    tls {
        cert_file:       \"server.pem\"      # the server's certificate with its chain
        key_file:        \"server-key.pem\"
        certs:           [{cert_file, key_file}, ..]   # instead: several, chosen by name
        ca_file:         \"ca.pem\"          # whose certificates clients may show
        verify:          true               # clients must show one
        verify_and_map:  true               # and it names their user
        pinned_certs:    [\"<sha256 of a public key, hex>\", ..]
        handshake_first: auto               # true, false, auto, or a time to wait for it
        min_version:     \"1.2\"             # or \"1.3\"
        timeout:         2                  # seconds, or a duration
        connection_rate_limit: 100          # handshakes per second

        cipher_suites: [
            TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        ]
        curve_preferences: [X25519, CurveP256, CurveP384]
    }

allow_non_tls: true beside it admits clients without TLS too.
";

const OPTIONS: &str = "
Server Options:
    -a, --addr, --net <host>         Address to listen on (default: 127.0.0.1 while no login
                                     is configured, else 0.0.0.0)
    -p, --port <port>                Port for clients, -1 for any free one (default: 4222)
    -n, --name
        --server_name <name>         Name of this server (default: its id)
    -P, --pid <file>                 Write the process id to this file
    -m, --http_port <port>           Port for monitoring by HTTP
    -ms,--https_port <port>          Port for monitoring by HTTPS
    -c, --config <file>              Read this configuration file
    -t                               Check the configuration file and exit
    -sl,--signal <signal>[=<pid>]    Signal a running server: ldm, stop, quit, term, reopen, reload
                                     <pid> is a process id or the path of a pid file
        --client_advertise <string>  Address that other servers and clients are told
        --ports_file_dir <dir>       Write <program>_<pid>.ports, the ports in use, to this directory

Logging Options:
    -l, --log <file>                 Write the log to this file
    -T, --logtime                    Stamp log lines (default: true)
        --logtime_utc                Stamp in UTC instead of local time (default: false)
    -s, --syslog                     Log to the system's log
    -r, --remote_syslog <url>        Log to that of another machine, as udp://host:514
    -D, --debug                      Log debug lines
    -V, --trace                      Log the protocol
    -VV                              Log the protocol, that of the system account too
    -DV                              Debug and trace
    -DVV                             Debug and trace, that of the system account too
        --log_size_limit <bytes>     Rotate the log file at this size (default: never)
        --max_traced_msg_len <len>   Longest message shown in traces (default: unlimited)

JetStream Options:
    -js, --jetstream                 Switch JetStream on
    -sd, --store_dir <dir>           Keep streams in this directory

Authorization Options:
        --user <user>                User that clients must name
        --pass <password>            Password that clients must give
        --auth <token>               Token that clients must give

TLS Options:
        --tls                        Clients must use TLS (default: false)
        --tlscert <file>             Certificate of the server, with its chain, in PEM
        --tlskey <file>              Private key of the certificate, in PEM
        --tlsverify                  Clients must show a certificate (default: false)
        --tlscacert <file>           Authorities that clients' certificates must come from

Common Options:
    -h, --help                       Show this text
        --help_tls                   Show what the tls block of a configuration file takes
    -v, --version                    Show the version

Not supported yet, and refused:
    --routes, --cluster, --cluster_listen, --cluster_name, --cluster_advertise

Not supported yet, and without effect:
    --no_advertise, --connect_retries, --profile
";

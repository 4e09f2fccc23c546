//! The help text.

/// The help text for a server that is called as `program`, in nats-server's layout.
pub fn usage(program: &str) -> String {
    format!("\nUsage: {program} [options]\n{OPTIONS}")
}

const OPTIONS: &str = "
Server Options:
    -a, --addr, --net <host>         Address to listen on (default: 127.0.0.1 while no login
                                     is configured, else 0.0.0.0)
    -p, --port <port>                Port for clients, -1 for any free one (default: 4222)
    -n, --name
        --server_name <name>         Name of this server (default: its id)
    -P, --pid <file>                 Write the process id to this file
    -m, --http_port <port>           Port for monitoring by HTTP
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

Common Options:
    -h, --help                       Show this text
    -v, --version                    Show the version

Not supported yet, and refused:
    -ms, --https_port, --tls, --tlsverify, --tlscert, --tlskey, --tlscacert, --help_tls,
    --routes, --cluster, --cluster_listen, --cluster_name, --cluster_advertise

Not supported yet, and without effect:
    -s, --syslog, -r, --remote_syslog, --no_advertise, --connect_retries, --profile
";

import { closest, distance } from 'fastest-levenshtein';
import { LIBPQ } from './libpq-parameters.js';

/**
 * Parameters of other drivers and tools that say neither where the database is nor how securely to connect. They are
 * ignored with a notice. isSensitive() judges all others that are not libpq's.
 */
const HARMLESS = new Set(
  [
    // Prisma: https://www.prisma.io/docs/orm/overview/databases/postgresql#arguments
    'schema connection_limit pool_timeout socket_timeout pgbouncer statement_cache_size max_connection_lifetime',
    'max_idle_connection_lifetime single_use_connections',
    // pgJDBC: https://jdbc.postgresql.org/documentation/use/#connection-parameters
    'ApplicationName currentSchema assumeMinServerVersion loginTimeout connectTimeout socketTimeout',
    'cancelSignalTimeout tcpKeepAlive tcpNoDelay prepareThreshold preparedStatementCacheQueries',
    'preparedStatementCacheSizeMiB databaseMetadataCacheFields databaseMetadataCacheFieldsMiB defaultRowFetchSize',
    'binaryTransfer binaryTransferEnable binaryTransferDisable reWriteBatchedInserts stringtype readOnly readOnlyMode',
    'autosave cleanupSavepoints unknownLength logUnclosedConnections logServerErrorDetail logLevel loggerLevel',
    'loggerFile disableColumnSanitiser allowEncodingChanges adaptiveFetch adaptiveFetchMinimum adaptiveFetchMaximum',
    'receiveBufferSize sendBufferSize maxSendBufferSize maxResultBuffer escapeSyntaxCallMode preferQueryMode',
    'quoteReturningIdentifiers hideUnprivilegedObjects groupStartupParameters queryTimeout gssResponseTimeout',
    'sslResponseTimeout hostRecheckSeconds loadBalanceHosts',
    // R2DBC: https://github.com/pgjdbc/r2dbc-postgresql#connecting
    'autodetectExtensions compatibilityMode errorResponseLogLevel extensions fetchSize forceBinary lockWaitTimeout',
    'noticeLogLevel preferAttachedBuffers statementTimeout timeZone initialSize maxSize maxIdleTime validationQuery',
    // node-postgres: https://node-postgres.com/apis/client, https://node-postgres.com/apis/pool, pg-connection-string
    'uselibpqcompat encoding binary query_timeout keepAlive keepAliveInitialDelayMillis connectionTimeoutMillis',
    'idleTimeoutMillis max min maxUses allowExitOnIdle',
    // postgres.js: https://github.com/porsager/postgres#all-postgres-options
    'idle_timeout max_lifetime max_pipeline prepare fetch_types debug keep_alive backoff publications transform',
    // pgx: https://pkg.go.dev/github.com/jackc/pgx/v5/pgxpool#ParseConfig; lib/pq: https://pkg.go.dev/github.com/lib/pq
    'pool_max_conns pool_min_conns pool_min_idle_conns pool_max_conn_lifetime pool_max_conn_lifetime_jitter',
    'pool_max_conn_idle_time pool_health_check_period default_query_exec_mode statement_cache_capacity',
    'description_cache_capacity statement_cache_mode prefer_simple_protocol min_read_buffer_size binary_parameters',
    'disable_prepared_binary_result',
    // golang-migrate: https://github.com/golang-migrate/migrate/tree/master/database/pgx/v5
    'x-migrations-table x-migrations-table-quoted x-statement-timeout x-multi-statement x-multi-statement-max-size',
    'x-lock-strategy x-lock-table',
    // SQLAlchemy: https://docs.sqlalchemy.org/en/latest/dialects/postgresql.html; asyncpg's connect()
    'prepared_statement_cache_size prepared_statement_name_func executemany_mode async_fallback command_timeout',
    'max_cached_statement_lifetime max_cacheable_statement_size server_settings min_size max_size prepare_threshold',
    'row_factory autocommit',
    // Django, django-environ, dj-database-url: https://docs.djangoproject.com/en/stable/ref/settings/#databases
    'conn_max_age conn_health_checks disable_server_side_cursors atomic_requests',
    // Rails: https://guides.rubyonrails.org/configuring.html#configuring-a-database
    'pool max_connections min_connections timeout checkout_timeout reaping_frequency prepared_statements',
    'statement_limit advisory_locks schema_search_path min_messages insert_returning adapter reconnect',
    'migrations_paths schema_dump database_tasks query_cache max_age connection_retries retry_deadline variables',
    // Ecto: https://hexdocs.pm/ecto_sql/Ecto.Adapters.Postgres.html#module-connection-options
    'pool_size pool_count queue_target queue_interval log migration_lock',
    // sqlx: https://docs.rs/sqlx/latest/sqlx/postgres/struct.PgConnectOptions.html
    'statement-cache-capacity',
    // Doctrine: https://www.doctrine-project.org/projects/doctrine-dbal/en/current/reference/configuration.html; Laravel
    'serverVersion charset default_dbname driver use_savepoints prefix',
    // Settings of a session, which several drivers pass on: https://www.postgresql.org/docs/current/runtime-config-client.html
    'search_path statement_timeout lock_timeout idle_in_transaction_session_timeout timezone datestyle intervalstyle',
    'client_min_messages extra_float_digits work_mem standard_conforming_strings',
  ]
    .join(' ')
    .toLowerCase()
    .split(' '),
);

/** Words in the name of a parameter that says where the database is, or how to connect to it. */
const SENSITIVE_WORDS =
  /host|addr|sock|unix|service|instance|server|endpoint|cluster|tenant|project|proxy|tunnel|ssh|dsn|ur[il]|port$|^db|database|dbname|user|ssl|tls|cert|crl|verif|crypt|secur|auth|passw|passf|passphrase|pwd|secret|token|iam|krb|kerberos|gss|sspi|scram|oauth|channel_?binding|replica|factory|catalog|connection_?name|network|^path$|^ip$|^ca(?:_|-|$|file|path|bundle)|pem$|^key(?:_|-|$|file|path)/i;

export function isHarmless(parameter: string): boolean {
  return HARMLESS.has(parameter.toLowerCase());
}

export function isKnown(parameter: string): boolean {
  return LIBPQ.has(parameter.toLowerCase()) || isHarmless(parameter);
}

/** The important libpq parameter that was probably meant: `sslmode` for `sslmod`. undefined: none is similar. */
export function nearestParameter(parameter: string): string | undefined {
  const written = parameter.toLowerCase();
  const nearest = closest(written, [...LIBPQ.keys()]);
  const mistakes = distance(written, nearest);
  const isOne = mistakes <= 2 && mistakes <= written.length / 2;
  return isOne && LIBPQ.get(nearest)?.passedOver !== true ? nearest : undefined;
}

/**
 * Whether the name of an unknown parameter suggests that it says where the database is or how securely to connect. For
 * `options[search_path]` the name in the brackets counts: its tool makes a session setting of it.
 */
export function isSensitive(parameter: string): boolean {
  const [outer = '', ...inner] = parameter.split(/[[\]]+/).filter((part) => part !== '');
  const isSetting = inner.length > 0 && (outer === 'options' || isHarmless(outer));
  return (isSetting ? inner : [outer, ...inner]).some(
    (part) => !isHarmless(part) && SENSITIVE_WORDS.test(part),
  );
}

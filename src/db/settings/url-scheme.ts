/** The schemes that tools use for PostgreSQL. */
const SCHEMES = new Set([
  ...['postgres', 'postgresql'], // libpq, and almost all tools
  ...['psql', 'pgsql', 'postgis'], // django-environ, dj-database-url; Doctrine
  ...['timescale', 'timescalegis'], // dj-database-url: PostgreSQL with an extension
  ...['pgx', 'pgx4', 'pgx5'], // golang-migrate
  'ecto', // Ecto
  'pg', // knex, Sqitch, xo/dburl
  ...['pdo-pgsql', 'pdo_pgsql'], // Doctrine
  ...['postgresext', 'postgresqlext', 'psycopg3'], // peewee
  ...['asyncpg', 'psycopg'], // Tortoise
]);
/**
 * SQLAlchemy's drivers, and peewee's pool. Not every suffix: postgres+ssh:// goes through another host,
 * postgres+unix:// is a socket.
 */
const DRIVERS = new Set([
  ...['psycopg', 'psycopg_async', 'psycopg2', 'psycopg2cffi', 'psycopg3', 'asyncpg', 'aiopg', 'pg8000'],
  ...['pygresql', 'pypostgresql', 'pool'],
]);
/** JDBC (with wrappers that only watch), R2DBC, Sqitch. */
const PREFIX = /^(?:(jdbc):(?:(?:p6spy|otel|tracing|aws-wrapper):)?|(r2dbcs?):(?:pool:)?|db:)/;
/** R2DBC's way to say that several hosts follow. */
const SUFFIX = /:failover$/;

/** Other databases, for the message. */
const OTHERS: Record<string, string> = {
  ...{ mysql: 'MySQL', mysql2: 'MySQL', mysqlx: 'MySQL', mysqlgis: 'MySQL', mariadb: 'MariaDB' },
  ...{ sqlite: 'SQLite', sqlite3: 'SQLite', libsql: 'libSQL', duckdb: 'DuckDB', spatialite: 'SQLite' },
  ...{ sqlserver: 'SQL Server', mssql: 'SQL Server', mssqlms: 'SQL Server' },
  ...{ oracle: 'Oracle', oraclegis: 'Oracle', db2: 'Db2' },
  ...{ mongodb: 'MongoDB', cassandra: 'Cassandra', clickhouse: 'ClickHouse', snowflake: 'Snowflake' },
  ...{ redis: 'Redis', rediss: 'Redis', spanner: 'Spanner', redshift: 'Redshift' },
  ...{ cockroachdb: 'CockroachDB', cockroach: 'CockroachDB', yugabytedb: 'YugabyteDB', ysql: 'YugabyteDB' },
};

export interface Scheme {
  /** The length in the text, :// included. */
  length: number;
  /** In a JDBC or R2DBC URL `ssl=true` asks for verification too. */
  sslVerifies: boolean;
  /** r2dbcs:// */
  needsTls: boolean;
}

/**
 * Reads the part before ://.
 * @returns otherwise why it is not PostgreSQL's, without repeating unknown text.
 */
export function readScheme(url: string): Scheme | { problem: string } {
  const text = /^[a-z][\w.:+-]*?:\/\//i.exec(url)?.[0];
  if (text === undefined) return { problem: 'it does not begin with postgres://' };
  const written = text.slice(0, -'://'.length).toLowerCase();
  if (/^prisma(\+postgres)?$/.test(written))
    return { problem: "it is an address of Prisma's own service: the direct URL of the database is needed" };
  const [, jdbc, r2dbc] = PREFIX.exec(written) ?? [];
  const [name = '', driver, ...more] = written.replace(PREFIX, '').replace(SUFFIX, '').split('+');
  const knowsDriver = driver === undefined || DRIVERS.has(driver);
  if (SCHEMES.has(name) && knowsDriver && more.length === 0) {
    return {
      length: text.length,
      sslVerifies: jdbc !== undefined || r2dbc !== undefined,
      needsTls: r2dbc === 'r2dbcs',
    };
  }
  if (SCHEMES.has(name))
    return { problem: 'what stands after the + of its scheme is no driver that connects directly' };
  const other = OTHERS[name];
  return {
    problem:
      other === undefined
        ? 'what stands before :// is no name for PostgreSQL, and only PostgreSQL is supported'
        : `it names ${other}, and only PostgreSQL is supported`,
  };
}

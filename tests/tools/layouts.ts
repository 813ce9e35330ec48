/** A project for each tool in docs/tools.md that can be installed here, with the same two migrations. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
export const PACKAGES = join(HERE, 'node_modules');

const FIRST = readFileSync(join(HERE, 'sql', '1_create_shop.sql'), 'utf8');
const SECOND = readFileSync(join(HERE, 'sql', '2_backfill_ledger.sql'), 'utf8');

export interface Tool {
  /** As in the heading of its section in docs/tools.md. */
  name: string;
  /** Why it cannot run here, or null. */
  missing: string | null;
  /** The files of its project. */
  files: Record<string, string>;
  /** The command, with what the shell replaces in it: `$DATABASE_URL`, and for Java's drivers `$PGAPPNAME`. */
  command: string;
  /** Its check in docs/check.md. */
  check?: string;
  /** The recovery that its section in docs/tools.md gives. */
  recover?: string;
}

const hasPackage = (name: string) =>
  existsSync(join(PACKAGES, name)) ? null : `${name} is not installed: npm run test:tools installs it`;
const hasProgram = (file: string, ...args: string[]) =>
  spawnSync(file, args).status === 0 ? null : `${file} is not installed, or its driver`;

const quoted = (sql: string) => JSON.stringify(sql);

const TYPEORM = (name: string, sql: string) => `
module.exports = class ${name} {
  name = '${name}';
  up = (queryRunner) => queryRunner.query(${quoted(sql)});
  down = async () => {};
};
`;

const SEQUELIZE = (sql: string) => `
module.exports = {
  up: (queryInterface) => queryInterface.sequelize.query(${quoted(sql)}),
  down: async () => {},
};
`;

const KYSELY = (sql: string) => `
import { sql } from 'kysely';
export const up = async (db) => {
  for (const statement of ${JSON.stringify(sql.trim().split(/;\n/).filter(Boolean))}) await sql.raw(statement).execute(db);
};
`;

/** A committed migration names the one before and carries the hash of both. */
function graphile(): Record<string, string> {
  const hashOf = (body: string, previous: string | null) =>
    `sha1:${createHash('sha1')
      .update(`${`${previous ?? ''}\n${body.trim()}`.trim()}\n`)
      .digest('hex')}`;
  const first = hashOf(FIRST, null);
  const head = (previous: string | null, hash: string) =>
    `--! Previous: ${previous ?? '-'}\n--! Hash: ${hash}\n\n`;
  return {
    '.gmrc': '{}',
    'migrations/current.sql': '',
    'migrations/committed/000001.sql': head(null, first) + FIRST.trim() + '\n',
    'migrations/committed/000002.sql': head(first, hashOf(SECOND, first)) + SECOND.trim() + '\n',
  };
}

const DJANGO = (dependencies: string, sql: string) => `
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [${dependencies}]
    operations = [migrations.RunSQL(${quoted(sql)})]
`;

const ALEMBIC = (revision: string, previous: string, sql: string) => `
from alembic import op

revision = '${revision}'
down_revision = ${previous}

def upgrade():
    op.execute(${quoted(sql)})
`;

const ACTIVE_RECORD = (name: string, sql: string) => `
class ${name} < ActiveRecord::Migration[6.1]
  def up
    execute ${quoted(sql)}
  end
end
`;

const SQITCH_DATE = '2026-01-05T09:00:00Z Dev <dev@example.com> # one';

export const TOOLS: readonly Tool[] = [
  {
    name: 'TypeORM',
    missing: hasPackage('typeorm'),
    files: {
      'data-source.js': `
        const { DataSource } = require('typeorm');
        exports.source = new DataSource({
          type: 'postgres', url: process.env.DATABASE_URL, migrations: [__dirname + '/migrations/*.js'],
        });`,
      'migrations/1-create-shop.js': TYPEORM('CreateShop1767603600000', FIRST),
      'migrations/2-backfill-ledger.js': TYPEORM('BackfillLedger1768208400000', SECOND),
    },
    command: 'typeorm migration:run -d data-source.js',
  },
  {
    name: 'Sequelize',
    missing: hasPackage('sequelize-cli'),
    files: {
      'config/config.js': `
        const settings = { use_env_variable: 'DATABASE_URL', dialect: 'postgres' };
        module.exports = { development: settings, production: settings, test: settings };`,
      'migrations/1-create-shop.js': SEQUELIZE(FIRST),
      'migrations/2-backfill-ledger.js': SEQUELIZE(SECOND),
    },
    command: 'sequelize-cli db:migrate',
  },
  {
    name: 'Kysely',
    missing: hasPackage('kysely-ctl'),
    files: {
      'package.json': '{ "type": "module" }',
      'kysely.config.js': `
        import { defineConfig } from 'kysely-ctl';
        import { PostgresDialect } from 'kysely';
        import pg from 'pg';
        export default defineConfig({
          dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.DATABASE_URL }) }),
          migrations: { allowJS: true, migrationFolder: 'migrations' },
        });`,
      'migrations/1_create_shop.js': KYSELY(FIRST),
      'migrations/2_backfill_ledger.js': KYSELY(SECOND),
    },
    command: 'kysely migrate latest',
    check: 'kysely migrate list --fail-on-pending',
  },
  {
    name: 'graphile-migrate',
    missing: hasPackage('graphile-migrate'),
    files: graphile(),
    command: 'graphile-migrate migrate',
    // It wants a shadow database too, which it does not use.
    check: 'SHADOW_DATABASE_URL="${DATABASE_URL}_shadow" graphile-migrate status',
  },
  {
    name: 'dbmate',
    missing: hasPackage('dbmate'),
    files: {
      'db/migrations/1_create_shop.sql': `-- migrate:up\n${FIRST}-- migrate:down\n`,
      'db/migrations/2_backfill_ledger.sql': `-- migrate:up\n${SECOND}-- migrate:down\n`,
    },
    command: 'dbmate --no-dump-schema --url "$DATABASE_URL?sslmode=disable" up',
    check: 'dbmate --url "$DATABASE_URL?sslmode=disable" status --exit-code',
  },
  {
    name: 'Liquibase',
    missing: hasPackage('liquibase') ?? hasProgram('java', '-version'),
    files: {
      'changelog.sql':
        `--liquibase formatted sql\n--changeset shop:1 splitStatements:false\n${FIRST}\n` +
        `--changeset shop:2 splitStatements:false\n${SECOND}`,
    },
    command:
      'exec liquibase --changelog-file=changelog.sql --url="$JDBC_URL&ApplicationName=$PGAPPNAME" --show-banner=false update',
    check:
      'liquibase --changelog-file=changelog.sql --url="$JDBC_URL" --show-banner=false status | grep -q "is up to date"',
    recover: 'liquibase --url="$JDBC_URL" --show-banner=false release-locks',
  },
  {
    name: 'Alembic',
    missing: hasProgram('alembic', '--version') ?? hasProgram('/usr/bin/python3', '-c', 'import psycopg2'),
    files: {
      'alembic.ini': '[alembic]\nscript_location = alembic\n',
      'alembic/env.py': `
import os
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ['DATABASE_URL'].replace('postgres://', 'postgresql://', 1), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
`,
      'alembic/versions/1_create_shop.py': ALEMBIC('a1', 'None', FIRST),
      'alembic/versions/2_backfill_ledger.py': ALEMBIC('a2', "'a1'", SECOND),
    },
    command: 'alembic upgrade head',
    check: "alembic current | grep -q '(head)'",
  },
  {
    name: 'Django',
    missing: hasProgram('/usr/bin/python3', '-c', 'import django, psycopg2'),
    files: {
      'manage.py': `
import os, sys
from django.core.management import execute_from_command_line
os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'
execute_from_command_line(sys.argv)
`,
      'settings.py': `
import os
from urllib.parse import urlsplit
SECRET_KEY = 'none'
INSTALLED_APPS = ['shop']
USE_TZ = True
url = urlsplit(os.environ['DATABASE_URL'])
DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': url.path[1:], 'USER': url.username,
                         'PASSWORD': url.password, 'HOST': url.hostname, 'PORT': url.port}}
`,
      'shop/__init__.py': '',
      'shop/migrations/__init__.py': '',
      'shop/migrations/0001_create_shop.py': DJANGO('', FIRST),
      'shop/migrations/0002_backfill_ledger.py': DJANGO("('shop', '0001_create_shop')", SECOND),
    },
    command: '/usr/bin/python3 manage.py migrate',
    check: '/usr/bin/python3 manage.py migrate --check',
  },
  {
    name: 'sqitch',
    missing:
      hasProgram('sqitch', '--version') ??
      hasProgram('perl', '-e', 'use DBD::Pg') ??
      hasProgram('psql', '--version'),
    files: {
      'sqitch.conf': '[core]\n\tengine = pg\n[user]\n\tname = Dev\n\temail = dev@example.com\n',
      'sqitch.plan': `%syntax-version=1.0.0\n%project=shop\n\ncreate_shop ${SQITCH_DATE}\nbackfill_ledger [create_shop] ${SQITCH_DATE}\n`,
      'deploy/create_shop.sql': `BEGIN;\n${FIRST}COMMIT;\n`,
      'deploy/backfill_ledger.sql': `BEGIN;\n${SECOND}COMMIT;\n`,
    },
    command: 'sqitch deploy "db:$DATABASE_URL"',
    check: 'LC_ALL=C sqitch status "db:$DATABASE_URL" | grep -q up-to-date',
  },
  {
    name: 'Rails',
    missing: hasProgram('ruby', '-e', "require 'active_record'; require 'pg'; require 'rake'"),
    files: {
      Rakefile: `
require 'active_record'
tasks = ActiveRecord::Tasks::DatabaseTasks
tasks.env = 'development'
tasks.root = __dir__
tasks.db_dir = 'db'
tasks.migrations_paths = ['db/migrate']
tasks.database_configuration = { 'development' => { 'url' => ENV['DATABASE_URL'] } }
ActiveRecord::Base.dump_schema_after_migration = false
task :environment do
  ActiveRecord::Base.configurations = tasks.database_configuration
  ActiveRecord::Base.establish_connection :development
end
load 'active_record/railties/databases.rake'
`,
      'db/migrate/1_create_shop.rb': ACTIVE_RECORD('CreateShop', FIRST),
      'db/migrate/2_backfill_ledger.rb': ACTIVE_RECORD('BackfillLedger', SECOND),
    },
    command: 'rake db:migrate',
    check: 'rake db:abort_if_pending_migrations',
  },
];

export function layOut(folder: string, { files }: Tool): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text.replace(/^\n/, ''));
  }
}

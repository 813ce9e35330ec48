import { describe, expect, test } from '@jest/globals';
import { UsageError } from '../../../src/errors.js';
import { refuseCheck } from '../../../src/run/refuse-check.js';
import { REFUSED_CHECKS } from '../../../src/run/refused-checks.js';
import { plain, tableOf } from '../../support/documents.js';

function refusal(script: string): UsageError | undefined {
  try {
    refuseCheck(script);
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** [what the error names, what its hint offers, command lines] */
const REFUSED: [name: string, instead: string, scripts: string[]][] = [
  [
    'knex migrate:list',
    'the script for knex',
    [
      'knex migrate:list',
      'knex migrate:status',
      'knex migrate:currentVersion',
      'knex --env production migrate:list',
      'knex migrate:list --knexfile db/knexfile.js',
      'npx knex migrate:list',
      'npx --yes knex@3.1.0 migrate:list',
      'npm exec -- knex migrate:list',
      'pnpm exec knex migrate:list',
      'pnpm knex migrate:list',
      'yarn run knex migrate:list',
      'bunx knex migrate:list',
      'node node_modules/.bin/knex migrate:list',
      'node --import tsx node_modules/knex/bin/cli.js migrate:list',
      './node_modules/.bin/knex migrate:list',
      '/app/node_modules/knex/bin/cli.js migrate:list',
      '"knex" \'migrate:list\'',
      '  knex   migrate:list  ',
      'knex migrate:list\n',
      'knex \\\n  migrate:list',
      'knex migrate:list;',
      'knex migrate:list > /dev/null',
      'knex migrate:list >/dev/null 2>&1',
      'knex migrate:list 2>> check.log < /dev/null',
      '> out knex migrate:list',
      'knex migrate:list # is anything pending?',
      'exec knex migrate:list',
      'NODE_ENV=production knex migrate:list',
      'env -i NODE_ENV=production knex migrate:list',
      'NODE_ENV="$STAGE" exec knex migrate:list',
      'timeout 10 knex migrate:list',
      'nice -n 5 npx knex migrate:list',
      'docker compose exec app knex migrate:list',
      'dotenv -e .env -- knex migrate:list',
      'cd api && knex migrate:list',
      'cd api; npx knex migrate:list',
      'set -e\nknex migrate:list',
      'set -eu; cd "$APP" && knex migrate:list',
      "sh -c 'knex migrate:list'",
      'bash -lc "cd api && npx knex migrate:list"',
    ],
  ],
  ['flyway info', 'flyway validate', ['flyway info', 'flyway -url=$URL info', '/flyway/flyway info']],
  [
    'flyway info',
    'flyway validate',
    ['mvn -q flyway:info', './mvnw flyway:info', 'gradle flywayInfo', './gradlew flywayInfo -i'],
  ],
  [
    'showmigrations',
    'python manage.py migrate --check',
    [
      'python manage.py showmigrations',
      'python3 manage.py showmigrations --plan',
      'python3.12 ./manage.py showmigrations blog',
      './manage.py showmigrations',
      'poetry run python manage.py showmigrations',
      'uv run manage.py showmigrations',
      'django-admin showmigrations --settings app.settings',
      'python -m django showmigrations',
      'python manage.py makemigrations --check',
      'python manage.py check --database default',
    ],
  ],
  [
    'migrate --plan',
    'python manage.py migrate --check',
    ['python manage.py migrate --plan', './manage.py migrate blog --plan'],
  ],
  [
    'db:migrate:status',
    'rails db:abort_if_pending_migrations',
    [
      'rails db:migrate:status',
      'bin/rails db:migrate:status',
      'bundle exec rails db:migrate:status RAILS_ENV=production',
      'bundle exec rake -s db:migrate:status',
      'ruby bin/rails db:migrate:status',
      'rake db:version',
    ],
  ],
  [
    'sequelize db:migrate:status',
    'a script',
    ['sequelize db:migrate:status', 'npx sequelize-cli db:migrate:status --env production'],
  ],
  [
    'typeorm migration:show',
    'a script',
    [
      'typeorm migration:show -d data-source.js',
      'npx typeorm-ts-node-commonjs migration:show -d src/data-source.ts',
      'ts-node ./node_modules/typeorm/cli.js migration:show',
    ],
  ],
  [
    'mikro-orm migration:pending',
    'a script',
    ['npx mikro-orm migration:pending', 'mikro-orm migration:list'],
  ],
  ['kysely migrate list', '--fail-on-pending', ['kysely migrate:list', 'npx kysely migrate list']],
  [
    'node-pg-migrate --dry-run',
    'the script for node-pg-migrate',
    ['node-pg-migrate up --dry-run', 'npx node-pg-migrate --dry-run up'],
  ],
  [
    'drizzle-kit check',
    'the script for Drizzle',
    ['drizzle-kit check', 'npx drizzle-kit@latest check --out d'],
  ],
  ['prisma migrate diff', 'prisma migrate status', ['prisma migrate diff --from-empty --to-schema=a.prisma']],
  [
    'alembic current',
    'alembic current --check-heads',
    [
      'alembic current',
      'alembic -c db/alembic.ini current --verbose',
      'python -m alembic current',
      'poetry run alembic history',
      'alembic heads',
    ],
  ],
  ['flask db current', 'flask db check', ['flask db current', 'python -m flask --app web db current']],
  ['liquibase status', 'reads its output', ['liquibase status', 'liquibase --url=$URL status --verbose']],
  [
    'goose status',
    'reads its output',
    ['goose status', 'goose -dir db postgres "$DATABASE_URL" status', 'goose validate', 'goose version'],
  ],
  ['dbmate status', 'dbmate status --exit-code', ['dbmate status', 'npx dbmate -d db status']],
  ['sqitch status', 'reads its output', ['sqitch status', 'sqitch status --target db:pg:app']],
  [
    'atlas migrate status',
    'reads its output',
    ['atlas migrate status --url "$URL"', 'npx @ariga/atlas migrate status', 'atlas migrate validate'],
  ],
  [
    'migrate version',
    'reads its output',
    ['migrate -path db -database "$URL" version', 'migrate -source=file://db -database=$URL version'],
  ],
  ['sqlx migrate info', 'reads its output', ['sqlx migrate info', 'cargo sqlx migrate info']],
  [
    'diesel migration pending',
    'reads its output',
    ['diesel migration pending', 'diesel --database-url $URL migration list'],
  ],
  [
    'migrations:status',
    'doctrine:migrations:up-to-date',
    [
      'php bin/console doctrine:migrations:status',
      'bin/console doctrine:migrations:list',
      'vendor/bin/doctrine-migrations migrations:status',
      'php doctrine-migrations.phar migrations:current',
    ],
  ],
  [
    'artisan migrate:status',
    'php artisan migrate:status --pending=1',
    [
      'php artisan migrate:status',
      'php artisan migrate:status --pending',
      'php artisan migrate:status --pending=0',
      './artisan migrate:status',
    ],
  ],
  [
    'mix ecto.migrations',
    'reads its output',
    ['mix ecto.migrations', 'MIX_ENV=prod mix ecto.migrations -r Repo'],
  ],
  [
    'dotnet ef migrations list',
    'reads its output',
    ['dotnet ef migrations list --json', 'dotnet-ef migrations has-pending-model-changes'],
  ],
  ['An empty command', '', ['', '  ', '\n', '# nothing', "sh -c ''", '> /dev/null']],
  ['true', '', ['true', '/bin/true', 'exec true', 'env true', 'X=1 true', 'true > /dev/null', 'sh -c true']],
  [':', '', [':', ': "$UNUSED"']],
  ['exit 0', '', ['exit 0', 'exit', 'exit 0;', 'bash -c "exit 0"']],
  ['echo', '', ['echo nothing pending']],
  ['ends with &', '', ['./pending.sh &', 'python manage.py migrate --check > log 2>&1 &']],
];

const NOT_REFUSED = [
  // Checks of these tools.
  'node pending.mjs',
  'python manage.py migrate --check',
  'python manage.py migrate --plan --check',
  './manage.py migrate --check check',
  'django-admin migrate --check --database default',
  'bin/rails db:abort_if_pending_migrations',
  'rake db:migrate:status db:abort_if_pending_migrations',
  'npx prisma migrate status',
  'prisma migrate diff --exit-code --from-migrations prisma/migrations --to-config-datasource',
  'dbmate status --exit-code',
  'dbmate status --quiet',
  'dbmate -d db status -exit-code',
  'flyway validate',
  'flyway info validate',
  'mvn flyway:validate',
  'alembic check',
  'alembic current --check-heads',
  'flask db check',
  'kysely migrate list --fail-on-pending',
  'graphile-migrate status',
  'phinx status -e production',
  'php bin/console doctrine:migrations:up-to-date',
  'php artisan migrate:status --pending=1',
  'php artisan migrate:status --pending=2 --no-ansi',
  // Several commands: the user's own logic.
  'knex migrate:list | grep -q "No Pending"',
  'knex migrate:list && ./also.sh',
  'knex migrate:list || exit 1',
  './before.sh; knex migrate:list',
  'test -f pending && knex migrate:list',
  '! knex migrate:list',
  '(knex migrate:list)',
  'knex migrate:list & wait',
  'knex migrate:list\n./also.sh',
  'test "$(atlas migrate status --url "$URL" --format "{{ .Status }}")" = OK',
  'sh -c "sqitch status | grep -q up-to-date"',
  'if knex migrate:list; then exit 1; fi',
  'cat <<END | knex migrate:list\nEND\n',
  // Other programs, and other commands.
  './check.sh',
  './check.sh knex migrate:list',
  'cargo run -- migrate info',
  'dotnet run -- migrations list',
  'my-knex migrate:list',
  'knexer migrate:list',
  'npm run check',
  'npm run migrate:list',
  'npx knex-check',
  'sh check.sh',
  'sh -x check.sh',
  'service status',
  'migrate version',
  'exit 1',
  'exit "$CODE"',
  'false',
  'PENDING=$(./count.sh)',
  'command -v knex',
  "grep 'knex migrate:list' notes",
  // What sh refuses, with a code that means "go on".
  "knex 'migrate:list",
  'knex $(migrate:list',
];

describe('a check that always exits 0', () => {
  test.each(REFUSED)('%s: refused, in every form (instead: %s)', (name, instead, scripts) => {
    for (const script of scripts) {
      const error = refusal(script);
      expect([script, error?.exitCode, error?.message]).toEqual([script, 64, expect.stringContaining(name)]);
      expect(error?.hint).toContain(instead);
    }
  });

  test.each(NOT_REFUSED)('is not: %s', (script) => expect(refusal(script)).toBeUndefined());

  test('repeats nothing of the command line, which may have a password', () => {
    const { message = '', hint = '' } = refusal('alembic -x url=postgres://app:hunter2@db/app current') ?? {};
    expect(message + hint).not.toContain('hunter2');
  });

  test('is tested for every row of the table', () => {
    const tested = new Set(REFUSED.map(([name]) => name));
    expect(REFUSED_CHECKS.map(({ name }) => name).filter((name) => !tested.has(name))).toEqual([]);
  });

  test('is in docs/check.md for every row of the table', () => {
    const documented = tableOf('docs/check.md', 'refused', 'also').map(([name = '']) => plain(name));
    expect(documented.sort()).toEqual([...new Set(REFUSED_CHECKS.map(({ name }) => name))].sort());
  });

  test('is none of the checks in docs/check.md', () => {
    const rows = tableOf('docs/check.md', 'tool', 'check', 'pending', 'error', 'source');
    const checks = rows.map(([, check = '']) => /`(.+)`/.exec(check)?.[1] ?? '');
    expect(checks.length).toBeGreaterThan(20);
    expect(checks.filter((check) => check === '' || refusal(check) !== undefined)).toEqual([]);
  });
});

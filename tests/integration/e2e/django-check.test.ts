/**
 * Django's check, with the Django of the machine: Python with django and psycopg2 or psycopg, such as Debian's
 * python3-django and python3-psycopg2. Without them, the test is skipped.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { execute } from './installed-package.js';

const DRIVERS = 'import django\ntry:\n  import psycopg2\nexcept ImportError:\n  import psycopg';
const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', DRIVERS]).status === 0);
const SETTINGS = `
import os
from urllib.parse import urlsplit
INSTALLED_APPS.append('shop')
DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'
url = urlsplit(os.environ['DATABASE_URL'])
DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': url.path[1:], 'USER': url.username,
                         'PASSWORD': url.password, 'HOST': url.hostname, 'PORT': url.port}}
`;
const MODEL = `from django.db import models

class Order(models.Model):
    note = models.TextField()
`;

let db: TestDatabase;
let folder: string;

beforeEach(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-django-'));
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
  await assertNothingLeft();
});

const reason = python === undefined ? ' (skipped: no Python with Django and a driver for PostgreSQL)' : '';

(python === undefined ? test.skip : test)(
  `migrate --check exits 1 when migrations are pending and 0 when none is, showmigrations always 0${reason}`,
  async () => {
    const interpreter = python ?? '';
    const environment = (url = db.url) => ({ DATABASE_URL: url, PYTHONPATH: process.env.PYTHONPATH ?? '' });
    const codeOf = async (words: string, url?: string) =>
      (await execute([interpreter, ...words.split(' ')], folder, environment(url))).code;
    expect(await codeOf('-m django startproject app .')).toBe(0);
    expect(await codeOf('manage.py startapp shop')).toBe(0);
    appendFileSync(join(folder, 'app', 'settings.py'), SETTINGS);
    writeFileSync(join(folder, 'shop', 'models.py'), MODEL);
    expect(await codeOf('manage.py makemigrations shop')).toBe(0);

    const codes = async () => ({
      check: await codeOf('manage.py migrate --check'),
      show: await codeOf('manage.py showmigrations'),
      plan: await codeOf('manage.py migrate --plan'),
      models: await codeOf('manage.py makemigrations --check --dry-run'),
    });
    expect(await codes()).toEqual({ check: 1, show: 0, plan: 0, models: 0 });

    const run = () =>
      runCli(
        [
          ...['run', '--check', `'${interpreter}' manage.py migrate --check`],
          ...['--', interpreter, 'manage.py', 'migrate'],
        ],
        { cwd: folder, env: environment() },
      );
    const first = await run();
    expect(first).toMatchObject({ code: 0 });
    expect(first.events.map(({ event }) => event)).toContain('child.exited');
    const second = await run();
    expect(second).toMatchObject({ code: 0 });
    expect(second.events.map(({ event }) => event)).toContain('run.skipped');
    expect(await codes()).toEqual({ check: 0, show: 0, plan: 0, models: 0 });

    const models = join(folder, 'shop', 'models.py');
    writeFileSync(models, `${readFileSync(models, 'utf8')}    paid = models.BooleanField(default=False)\n`);
    expect(await codeOf('manage.py makemigrations shop')).toBe(0);
    expect(await codes()).toEqual({ check: 1, show: 0, plan: 0, models: 0 });
    expect(await codeOf('manage.py migrate --check', 'postgres://none:none@127.0.0.1:1/none')).toBe(1);
  },
  120_000,
);

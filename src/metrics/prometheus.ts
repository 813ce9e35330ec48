/** The metrics of a run in Prometheus' text format: loaded only when they are requested, at the run's end. */
import { Counter, Gauge, Registry } from 'prom-client';
import { OUTCOMES } from '../events/events.js';
import type { RunFigures } from './run-figures.js';

export async function toPrometheusText(figures: RunFigures): Promise<string> {
  const registry = new Registry();
  registry.setDefaultLabels({ database: figures.database ?? '', schema: figures.schema });
  const registers = [registry];
  const gauge = (name: string, help: string, value: number): void => {
    new Gauge({ name: `migrate_lock_${name}`, help, registers }).set(value);
  };
  const counter = (name: string, help: string, value: number): void => {
    new Counter({ name: `migrate_lock_${name}`, help, registers }).inc(value);
  };

  gauge('wait_seconds', 'For how long the last run waited for the lock.', figures.waitMs / 1_000);
  gauge('hold_seconds', 'For how long the last run held the lock.', figures.holdMs / 1_000);
  counter('polls_total', 'How often the last run polled the lock.', figures.polls);
  gauge(
    'queue_length',
    'Waiters when the last run found the lock held, itself included.',
    figures.queueLength,
  );
  counter('takeovers_total', 'Expired leases that the last run took over.', figures.takeovers);
  gauge('exit_code', 'The exit code of the last run.', figures.exitCode);
  const result = new Gauge({
    name: 'migrate_lock_result',
    help: '1 for how the last run ended, 0 for every other outcome.',
    labelNames: ['result'],
    registers,
  });
  for (const outcome of OUTCOMES) result.set({ result: outcome }, outcome === figures.outcome ? 1 : 0);
  gauge('finished_timestamp_seconds', 'When the last run ended.', figures.finishedAtMs / 1_000);
  return registry.metrics();
}

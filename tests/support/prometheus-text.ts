const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const HELP = new RegExp(`^# HELP (${NAME}) .+$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge)$`);
const SAMPLE = new RegExp(`^(${NAME})\\{(.*)\\} (-?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?)$`);
const LABEL = /^([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/;

export interface Metric {
  type: 'counter' | 'gauge';
  samples: { labels: Record<string, string>; value: number }[];
}

/** Parses Prometheus' text format strictly, and throws for an invalid line. */
export function parsePrometheusText(text: string): Map<string, Metric> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const metrics = new Map<string, Metric>();
  let described: string | undefined;
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, helped] = HELP.exec(line) ?? [];
    const [, typed, type] = TYPE.exec(line) ?? [];
    const [, sampled = '', labels = '', value] = SAMPLE.exec(line) ?? [];
    if (helped !== undefined) {
      described = helped;
    } else if (typed !== undefined) {
      if (typed !== described || metrics.has(typed)) throw new Error(`misplaced: ${line}`);
      metrics.set(typed, { type: type as Metric['type'], samples: [] });
    } else {
      const metric = metrics.get(sampled);
      if (metric === undefined || sampled !== described)
        throw new Error(`no sample of ${described}: ${line}`);
      metric.samples.push({ labels: parseLabels(labels), value: Number(value) });
    }
  }
  return metrics;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let rest = text; rest !== '';) {
    const match = LABEL.exec(rest);
    if (match === null) throw new Error(`no label: ${rest}`);
    const [whole, name = '', value = ''] = match;
    if (name in labels) throw new Error(`twice: ${name}`);
    labels[name] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(whole.length);
  }
  return labels;
}

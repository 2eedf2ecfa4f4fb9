// uPlot in a place of a fixed height: as wide as there is room, in the colours of the page.

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

interface ChartProps {
  label: string;
  height: number;
  data: uPlot.AlignedData;
  /** What is drawn how; anew whenever `shape` changes, or the colours do. */
  options: (colour: (name: string) => string) => Omit<uPlot.Options, "width" | "height">;
  shape: string;
}

/** A colour of the page as a canvas takes it: what a variable comes to in light or dark. */
function colourOf(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

export function Chart({ label, height, data, options, shape }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [coloured, setColoured] = useState(0);

  useEffect(() => {
    const changed = () => setColoured((n) => n + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", changed);
    system.addEventListener("change", changed);
    return () => {
      removeEventListener("themechange", changed);
      system.removeEventListener("change", changed);
    };
  }, []);

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const width = Math.max(200, element.clientWidth);
    const made = new uPlot({ ...options(colourOf), width, height }, data, element);
    plot.current = made;
    const resized = new ResizeObserver(() => {
      const now = Math.max(200, element.clientWidth);
      if (now !== made.width) made.setSize({ width: now, height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, coloured, height]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  return <div class="chart" ref={place} role="img" aria-label={label} style={{ height: `${height}px` }} />;
}

const LABEL_PX = 62;

/** As many of the instants as there is room to name, evenly apart, in seconds. */
function thinned(at: readonly number[], width: number): number[] {
  const every = Math.max(1, Math.ceil((at.length * LABEL_PX) / Math.max(width, 1)));
  return at.filter((_, index) => (at.length - 1 - index) % every === 0).map((each) => each / 1000);
}

const FONT = '11px "Inter Variable", system-ui, sans-serif';

export function axes(
  colour: (name: string) => string,
  time: (at: number) => string,
  value: (value: number) => string,
  at?: readonly number[],
): uPlot.Axis[] {
  const common = { stroke: colour("muted"), font: FONT, ticks: { show: false } };
  return [
    {
      ...common,
      grid: { show: false },
      space: 64,
      size: 28,
      ...(at === undefined ? {} : { splits: (plot: uPlot) => thinned(at, plot.width) }),
      values: (_, splits) => splits.map((each) => time(each * 1000)),
    },
    {
      ...common,
      grid: { stroke: colour("line"), width: 1 },
      space: 36,
      size: 48,
      values: (_, splits) => splits.map(value),
    },
  ];
}

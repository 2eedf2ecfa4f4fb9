/** A small line of values over time; the table beside it says the figures. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  const width = 96;
  const height = 24;
  const most = Math.max(...values, 0);
  if (values.length < 2 || most === 0) {
    return (
      <svg class="spark" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
        <line x1="0" x2={width} y1={height - 1.5} y2={height - 1.5} class="rest" />
      </svg>
    );
  }
  const at = (index: number) => (index * width) / (values.length - 1);
  const points = values
    .map((each, index) => `${at(index).toFixed(1)},${(height - 2 - (each / most) * (height - 4)).toFixed(1)}`)
    .join(" ");
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <polygon points={`0,${height} ${points} ${width},${height}`} />
      <polyline points={points} />
    </svg>
  );
}

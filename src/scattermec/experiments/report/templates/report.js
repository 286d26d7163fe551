"use strict";
// Draws each panel from the data in the page, and lets the legends show and hide lines.
(() => {
  const drawings = JSON.parse(document.getElementById("drawings").textContent);
  const font = { family: getComputedStyle(document.querySelector("h1")).fontFamily, size: 12, color: "#1a1d21" };
  const axis = {
    fixedrange: true, gridcolor: "#e4e7ea", linecolor: "#5b626b", ticks: "outside", tickcolor: "#5b626b",
    ticklen: 4, zeroline: false, automargin: true, ticklabeloverflow: "allow",
    spikecolor: "#5b626b", spikethickness: 1, spikedash: "solid", title: { standoff: 8 },
  };
  const layout = {
    font, margin: { l: 8, r: 20, t: 12, b: 8 }, showlegend: false,
    hovermode: "x unified", hoverdistance: -1, dragmode: false,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: "rgba(255,255,255,.94)", bordercolor: "#d9dde1", font: { ...font, size: 12 } },
  };
  const merged = (common, own) => ({ ...common, ...own, title: { ...common.title, ...own.title } });
  // In two lines where it is too long for one.
  const broken = (text, width) => (text.length * 7 > width ? text.replace(", ", ",<br>") : text);

  const draw = (plot) => {
    const panel = drawings[plot.dataset.figure][plot.dataset.row][plot.dataset.panel];
    const axes = { xaxis: merged(axis, panel.layout.xaxis), yaxis: merged(axis, panel.layout.yaxis) };
    axes.xaxis.title.text = broken(axes.xaxis.title.text, plot.clientWidth - 50);
    return Plotly.newPlot(plot, panel.data, { ...layout, ...axes }, { displayModeBar: false, responsive: true });
  };

  // A line is shown if everything that it belongs to is.
  const toggle = (section, button) => {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    const hidden = new Set(
      [...section.querySelectorAll('[aria-pressed="false"]')].map((other) => other.dataset.group));
    for (const plot of section.querySelectorAll(".plot")) {
      const visible = plot.data.map((trace) => !trace.meta.some((group) => hidden.has(group)));
      Plotly.restyle(plot, { visible });
    }
  };

  const sections = [...document.querySelectorAll("section.figure")];
  const next = async () => {
    const section = sections.shift();
    if (!section) {
      document.documentElement.dataset.drawn = "all";
      return;
    }
    section.classList.add("drawn");
    try {
      for (const plot of section.querySelectorAll(".plot")) await draw(plot);
      for (const button of section.querySelectorAll(".legend button")) {
        button.addEventListener("click", () => toggle(section, button));
      }
    } catch (error) {
      section.classList.remove("drawn"); // its pictures take over
      console.error(error);
    }
    setTimeout(next); // lets the reader scroll meanwhile
  };
  next();
})();

"""Small charts as SVG, drawn by hand so that they follow the page's colours, scale, print and can be read aloud."""

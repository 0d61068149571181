"""What the HTML report is made of beyond text: figures that live in the page, grids of images, diagrams."""

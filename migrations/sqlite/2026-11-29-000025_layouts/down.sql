DROP TABLE page_layouts;
